"""`s2s export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2s_cli.cli import console, options
from s2s_cli.cli.process import start_tensorflow
from s2s_cli.config.schema import Decoding
from s2s_cli.errors import ExportError
from s2s_cli.export import FORMAT_NAMES, NOTED_SETTINGS, PRECISIONS, SAMPLING_SETTINGS

if TYPE_CHECKING:
    from s2s_cli.export.proof import Proof

# An export has none of these; those of sampling go with it.
WITHOUT = (*NOTED_SETTINGS, *SAMPLING_SETTINGS)


@options.with_section_options(Decoding, options.DECODING_PANEL, without=WITHOUT)
def export(
    run: options.RunDirectory,
    export_format: Annotated[
        str,
        typer.Option(
            "--format",
            metavar=f"<{'|'.join(FORMAT_NAMES)}>",
            help="keras: models of Keras's own layers, and a search in Python to read. saved_model: a"
            " TensorFlow graph with the search inside. onnx: the same as an ONNX graph, for onnxruntime in"
            " Python, a page or Node. litert: a greedy search of one sentence, for LiteRT on"
            " small devices. ctranslate2: the weights of a Transformer, for CTranslate2.",
            autocompletion=lambda: list(FORMAT_NAMES),
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Folder to write.",
            show_default="RUN/export/FORMAT, or FORMAT-PRECISION",
        ),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            metavar=f"<{'|'.join(PRECISIONS)}>",
            help="What the weights are stored as. int8: a quarter of the size; translations then differ"
            " here and there, and BLEU is compared on the validation's sentences. For onnx, litert and"
            " ctranslate2; bfloat16, half of the size, for ctranslate2 alone.",
            autocompletion=lambda: list(PRECISIONS),
        ),
    ] = "float32",
    checkpoint: options.Checkpoint = "best",
    threads: options.Threads = None,
    overrides: dict[str, Any] | None = None,
) -> None:
    """Write a model that other programs can load, and prove that it translates as the run does."""
    from s2s_cli.config.load import override_decoding
    from s2s_cli.runs.run import Run

    if export_format not in FORMAT_NAMES:
        raise ExportError(
            f"--format is {export_format!r}; choose from {', '.join(FORMAT_NAMES)}.",
            "`s2s export --help` says what each of them is for.",
        )
    if precision not in PRECISIONS:
        raise ExportError(
            f"--precision is {precision!r}; choose from {', '.join(PRECISIONS)}.",
            "Leave it out for float32.",
        )
    directory = Run(run)
    given = {"n_best": 1, **(overrides or {})}
    if given.get("sampling") is False:
        given |= {name: Decoding.model_fields[name].default for name in SAMPLING_SETTINGS}
    decoding = override_decoding(directory.config(), **given)
    directory.find_checkpoint(checkpoint)
    start_tensorflow(threads)
    from s2s_cli.export.export import export

    written, proof = export(directory, export_format, output, checkpoint, decoding, precision)
    _show(proof)
    console.say(f"exported to {written}", fg="green")


def _show(proof: Proof) -> None:
    """What was compared."""
    ties = f"; {proof.ties} differ after a tie of two scores" if proof.ties else ""
    console.say(
        f"a fresh process gave the run's own translations for {proof.identical} of {proof.sentences}"
        f" sentences{ties}"
    )
    if proof.quality:
        console.say(
            f"{'BLEU':<18}{proof.quality.artefact:.2f} on {proof.quality.sentences} held-out sentences;"
            f" the run {proof.quality.run:.2f}"
        )
    if proof.logit_difference is not None:
        console.say(f"{'logits':<18}differ by {proof.logit_difference:.1e} at most")
    console.say(f"{'size':<18}{proof.bytes / 1e6:,.1f} MB")
    for name, artefact, of_run in (
        ("one by one", proof.speed_one_by_one, proof.run_speed_one_by_one),
        ("in batches", proof.speed_in_batches, proof.run_speed_in_batches),
    ):
        console.say(f"{name:<18}{artefact:,.1f} sentences/s; the run {of_run:,.1f}")
    for note in proof.notes:
        console.warn(note)
