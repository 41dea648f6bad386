"""`s2s train`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer

from s2s_cli.cli import console, options
from s2s_cli.cli.process import INTERRUPTED, start_tensorflow, stop_signals
from s2s_cli.config.schema import Training


@options.with_section_options(Training, "Training", only=["max_minutes"])
def train(
    config_file: options.ConfigFile,
    run: Annotated[
        Path | None,
        typer.Option("--run", help="Run directory.", show_default="runs/<name of CONFIG>"),
    ] = None,
    settings: options.Settings = None,
    force: Annotated[
        bool, typer.Option("--force", help="Resume a run although settings were changed.")
    ] = False,
    threads: options.Threads = None,
    overrides: dict[str, Any] | None = None,
) -> None:
    """Train a model; the same command again resumes where it stopped."""
    from s2s_cli.config.load import load_config
    from s2s_cli.runs.run import Run

    changes = [f"training.{name}={value}" for name, value in (overrides or {}).items()]
    config = load_config(config_file, (*(settings or ()), *changes))
    directory = Run(run or Path("runs") / config_file.stem)
    is_new = not directory.exists
    training = config.training
    # TensorFlow computes the two halves of each batch at the same time.
    start_tensorflow(threads, inter_op_threads=2, deterministic=training.deterministic)
    from s2s_cli.cli.training_view import TrainingView
    from s2s_cli.training.events import Finished, StepDone
    from s2s_cli.training.run import train

    view = TrainingView(training, directory.root, is_new=is_new)
    is_interrupted = False
    with stop_signals() as stop, contextlib.closing(view):
        for event in train(
            directory,
            config,
            threads=options.thread_count(threads),
            force=force,
            stop_requested=stop.was_requested,
        ):
            view.show(event)
            stop.can_save = stop.can_save or isinstance(event, StepDone)
            if isinstance(event, Finished):
                is_interrupted = event.interrupted
    if is_interrupted:
        raise typer.Exit(INTERRUPTED)
    console.say(f"best checkpoint: step {directory.best_step():,}. Next:")
    console.next_commands(
        ["s2s", "translate", str(directory.root), "-i", "FILE"],
        ["s2s", "export", str(directory.root), "--format", "keras"],
    )
