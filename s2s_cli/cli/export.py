"""`s2s export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from s2s_cli.cli import console, options
from s2s_cli.cli.process import start_tensorflow
from s2s_cli.errors import ExportError
from s2s_cli.export import FORMATS


def export(
    run: options.RunDirectory,
    export_format: Annotated[
        str,
        typer.Option(
            "--format",
            metavar=f"<{'|'.join(FORMATS)}>",
            help="keras: .keras files and a program that uses them. saved_model: a graph, token ids"
            " in and out.",
            autocompletion=lambda: list(FORMATS),
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder to write.", show_default="RUN/export/FORMAT"),
    ] = None,
    checkpoint: options.Checkpoint = "best",
    threads: options.Threads = None,
) -> None:
    """Write a model that other programs can load, and prove that it translates as the run does."""
    from s2s_cli.runs.run import Run

    if export_format not in FORMATS:
        raise ExportError(
            f"--format is {export_format!r}; choose from {', '.join(FORMATS)}.",
            "`s2s export --help` says what each of them is for.",
        )
    directory = Run(run)
    directory.config()
    directory.find_checkpoint(checkpoint)
    start_tensorflow(threads)
    from s2s_cli.export.export import export

    written, proof = export(directory, export_format, output, checkpoint)
    equal = proof.sentences - proof.ties
    ties = f"; {proof.ties} differ after a tie of two scores" if proof.ties else ""
    console.say(
        f"a fresh process gave the run's own translations for {equal} of {proof.sentences}"
        f" sentences{ties}"
    )
    if proof.left_out:
        console.say(proof.left_out, fg="yellow")
    console.say(f"exported to {written}", fg="green")
