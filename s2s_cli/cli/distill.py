"""`s2s distill`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from s2s_cli.cli import options
from s2s_cli.cli.process import start_tensorflow
from s2s_cli.cli.synthesis import Force, OutputFile, make_corpus
from s2s_cli.config.schema import Decoding


@options.with_section_options(Decoding, options.DECODING_PANEL, without=["n_best"])
def distill(
    run: options.RunDirectory,
    output_file: OutputFile,
    source: Annotated[
        str | None,
        typer.Option(
            help="File with one source sentence a line.", show_default="the run's training sources"
        ),
    ] = None,
    keep: Annotated[
        float | None,
        typer.Option(
            help="Share of the translations to write, those with the highest scores.",
            min=0.0001,
            max=1.0,
            show_default="all",
        ),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(help="Lowest score to write, as of `s2s translate --scores`."),
    ] = None,
    force: Force = False,
    ensemble: options.Ensemble = None,
    checkpoint: options.Checkpoint = "best",
    threads: options.Threads = None,
    overrides: dict[str, Any] | None = None,
) -> None:
    """Make training pairs of source text and its translations; interrupted, the same command goes on."""
    from s2s_cli.config.load import override_decoding
    from s2s_cli.synthesis.sources import file_sentences, training_sources

    runs = options.runs_of(run, ensemble, checkpoint)
    config = runs[0].config()
    decoding = override_decoding(config, **(overrides or {}), n_best=1)
    sentences, inputs = training_sources(config) if source is None else file_sentences(source)
    start_tensorflow(threads)
    from s2s_cli.cli.output import line_count
    from s2s_cli.synthesis.synthesize import Selection, Task

    selection = Selection(min_score, keep)
    task = Task("distillation", runs, checkpoint, inputs, Path(output_file), selection)
    total = None if source is None else line_count(source)
    make_corpus(task, decoding, sentences, total=total, force=force, entry="")
