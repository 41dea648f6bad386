"""`s2s backtranslate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from s2s_cli.cli import options
from s2s_cli.cli.process import start_tensorflow
from s2s_cli.cli.synthesis import Force, OutputFile, make_corpus
from s2s_cli.config.schema import Decoding


@options.with_section_options(Decoding, options.DECODING_PANEL, without=["n_best"])
def backtranslate(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run that translates target into source.")
    ],
    input_file: Annotated[
        str, typer.Option("-i", "--input", help="Text of the target language, a sentence a line.")
    ],
    output_file: OutputFile,
    force: Force = False,
    ensemble: options.Ensemble = None,
    checkpoint: options.Checkpoint = "best",
    threads: options.Threads = None,
    overrides: dict[str, Any] | None = None,
) -> None:
    """Make training pairs of target text and its translations; interrupted, the same command goes on."""
    from s2s_cli.config.load import override_decoding
    from s2s_cli.synthesis.sources import file_sentences

    runs = options.runs_of(run, ensemble, checkpoint)
    decoding = override_decoding(runs[0].config(), **(overrides or {}), n_best=1)
    sentences, inputs = file_sentences(input_file)
    start_tensorflow(threads)
    from s2s_cli.cli.output import line_count
    from s2s_cli.synthesis.synthesize import Task

    task = Task("backtranslation", runs, checkpoint, inputs, Path(output_file))
    make_corpus(
        task,
        decoding,
        sentences,
        total=line_count(input_file),
        force=force,
        entry=', source_tag: "<BT>"',
    )
