"""`s2s inspect`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2s_cli.cli import console, options
from s2s_cli.cli.process import start_tensorflow
from s2s_cli.errors import ConfigError

if TYPE_CHECKING:
    from s2s_cli.inspection.structure import Structure


def inspect(
    what: Annotated[
        Path, typer.Argument(metavar="RUN|CONFIG", help="A run directory, or a config file.")
    ],
    text: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]...", help="Sentences, for --states.", show_default=False),
    ] = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Write the picture of the models.")
    ] = None,
    states: Annotated[
        Path | None,
        typer.Option(
            "--states",
            metavar="FILE",
            help="Write the hidden states and attentions of TEXT to a NumPy archive, .npz.",
        ),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            "--mean",
            metavar="NAME",
            help="Show the mean of a state over tokens, without padding, and what padding would do.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    checkpoint: options.Checkpoint = "best",
) -> None:
    """Show the layers of a model, and which of its three Keras models share them."""
    if (states or mean) and not text:
        raise ConfigError("--states and --mean need a sentence.", "Give it after RUN, in quotes.")
    if text and not (states or mean):
        raise ConfigError("TEXT is for --states and --mean.", "Add --states FILE.")
    if text:
        from s2s_cli.cli.inspect_states import inspect_states

        inspect_states(what, text, states, mean, checkpoint)
        return
    start_tensorflow(None)
    structure = _structure_of(what)
    if svg:
        from s2s_cli.files import write_text
        from s2s_cli.inspection.picture import picture

        write_text(svg, picture(structure, f"The models of {what}"))
        console.say(f"{svg} is written")
    if as_json:
        console.print_report(
            [(json.dumps(structure.as_json(), ensure_ascii=False, indent=2), None)]
        )
    elif not svg:
        console.print_report((line, None) for line in table(structure))


def _structure_of(what: Path) -> Structure:
    from s2s_cli.config.load import load_config
    from s2s_cli.decoding.translator import load_tokenizers
    from s2s_cli.inspection.structure import structure_of_config, structure_of_run
    from s2s_cli.runs.run import Run

    if what.is_file():
        return structure_of_config(load_config(what, ()))
    run = Run(what)
    config = run.config()
    tokenizers = load_tokenizers(run, config, run.find_checkpoint("latest"))
    return structure_of_run(config, tokenizers.vocab_sizes)


def table(structure: Structure) -> Iterator[str]:
    """The structure as lines of text."""
    from s2s_cli.inspection.structure import MODELS

    name = max(5, *(len(layer.name) for layer in structure.layers))
    shape = max(7, *(len(layer.shapes) for layer in structure.layers))
    yield f"{'layer':<{name}}  {'weights':<{shape}}  {'parameters':>11}  share  {'  '.join(MODELS)}"
    for layer in structure.layers:
        marks = "  ".join(
            ("●" if model in layer.models else "·").center(len(model)) for model in MODELS
        )
        yield (
            f"{layer.name:<{name}}  {layer.shapes:<{shape}}  {layer.parameters:>11,}"
            f"  {structure.share(layer):>5.1%}  {marks}"
        ).rstrip()
    sums = "  ".join(f"{structure.parameters_of(model):>{len(model)},}" for model in MODELS)
    yield f"{'all, each once':<{name}}  {'':<{shape}}  {structure.parameters:>11,}         {sums}"
    yield ""
    source, target = structure.vocab_sizes
    if structure.is_bound:
        yield f"The vocabularies are not learned yet; at most {target:,} tokens are counted for each."
    else:
        yield f"Vocabularies: {source:,} source and {target:,} target tokens."
    yield (
        "A row is one layer object: where several models have ● they call the same one, so a step of"
        " the training model changes all of them."
    )
