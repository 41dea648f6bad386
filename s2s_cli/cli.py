"""The command line: parse, one call, render, exit code. TensorFlow is imported by the calls."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from s2s_cli import __version__, console, options
from s2s_cli.errors import ExportError, S2SError
from s2s_cli.export import FORMATS
from s2s_cli.files import output
from s2s_cli.interrupts import INTERRUPTED, stop_signals

app = typer.Typer(
    name="s2s",
    help="Turns a file of sentence pairs into a translation model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

BROKEN_PIPE = 128 + 13  # as of a program that SIGPIPE ends


def main() -> None:
    """Runs the command line; the user's mistakes end with one message and exit code 1."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(INTERRUPTED))  # what is half-written goes
    try:
        app(prog_name="s2s")
    except S2SError as problem:
        console.error(problem)
        sys.exit(1)
    except BrokenPipeError:
        # Nobody reads on, as with `| head`. What is still in the buffer must go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE)
    except OSError as problem:
        place = f"{problem.filename}: " if problem.filename else ""
        hint = "Nothing that was saved before is touched; mend this and run the same command again."
        console.error(S2SError(f"{place}{problem.strerror or problem}.", hint))
        sys.exit(1)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"s2s {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
def train(
    config_file: options.ConfigFile,
    run: options.NewRun = None,
    settings: options.Settings = None,
    max_minutes: options.MaxMinutes = None,
    force: options.Force = False,
    threads: options.Threads = None,
) -> None:
    """Train a model; the same command again goes on where it stopped."""
    from s2s_cli import runtime
    from s2s_cli.config import load_config
    from s2s_cli.events import StepDone
    from s2s_cli.run import Run

    overrides = list(settings or [])
    if max_minutes is not None:
        overrides.append(f"training.max_minutes={max_minutes}")
    config = load_config(config_file, tuple(overrides))
    directory = Run(run or Path("runs") / config_file.stem)
    training = config.training
    runtime.start(threads, chains=2, deterministic=training.deterministic, seed=training.seed)
    from s2s_cli.commands.train import train

    limit = None if training.max_minutes is None else 60 * training.max_minutes
    view = console.TrainingView(training.max_steps, limit, training.epochs)
    last: Any = None
    with stop_signals() as stop, contextlib.closing(view):
        events = train(
            directory,
            config,
            threads=threads or os.cpu_count() or 1,
            force=force,
            stop_requested=stop.was_requested,
        )
        for event in events:
            view.show(event)
            stop.can_save = stop.can_save or isinstance(event, StepDone)
            last = event
    if last.interrupted:
        raise typer.Exit(INTERRUPTED)
    console.trained(directory.root, directory.best_step())


@app.command()
def check(
    config_file: options.ConfigFile,
    settings: options.Settings = None,
    test_source: Annotated[str | None, typer.Option(help="Sources of a test set.")] = None,
    test_target: Annotated[str | None, typer.Option(help="Their translations.")] = None,
    as_json: options.AsJson = False,
    threads: options.Threads = None,
) -> None:
    """Look for what is wrong with the corpora of a config; exit code 1 where training would fail."""
    from s2s_cli.commands.check import check
    from s2s_cli.config import load_config
    from s2s_cli.schema import Files

    if (test_source is None) != (test_target is None):
        raise typer.BadParameter("--test-source and --test-target go together.")
    test = Files(source=test_source, target=test_target) if test_source else None
    config = load_config(config_file, tuple(settings or []))
    report = check(config, test, threads=threads or os.cpu_count() or 1)
    console.checked(report, as_json=as_json)
    if not report.passes:
        raise typer.Exit(1)


@app.command()
def translate(
    run: options.RunDirectory,
    text: options.Texts = None,
    input_file: options.InputFile = "-",
    output_file: options.OutputFile = "-",
    beam_size: options.BeamSize = None,
    n_best: options.NBest = None,
    length_penalty: options.LengthPenalty = None,
    shortlist: options.Shortlist = None,
    precision: options.Precision = None,
    min_length: options.MinLength = None,
    max_length: options.MaxLength = None,
    max_length_ratio: options.MaxLengthRatio = None,
    max_source_length: options.MaxSourceLength = None,
    long_sources: options.LongSources = None,
    batch_size: options.BatchSize = None,
    errors: options.Errors = "replace",
    scores: options.Scores = False,
    alignments: options.Alignments = False,
    as_json: options.AsJsonLines = False,
    checkpoint: options.Checkpoint = "best",
    threads: options.Threads = None,
) -> None:
    """Translate sentences, a file, or stdin: one line out for every line in."""
    from s2s_cli import runtime
    from s2s_cli.config import override_decoding
    from s2s_cli.run import Run

    directory = Run(run)
    decoding = override_decoding(
        directory.config(),
        beam_size=beam_size,
        n_best=n_best,
        length_penalty=length_penalty,
        shortlist=shortlist,
        precision=precision,
        min_length=min_length,
        max_length=max_length,
        max_length_ratio=max_length_ratio,
        max_source_length=max_source_length,
        long_sources=long_sources,
        batch_size=batch_size,
    )
    directory.find_checkpoint(checkpoint)
    runtime.start(threads)
    from s2s_cli.commands import translate as command
    from s2s_cli.decoding.translator import Translator

    translator = Translator.from_run(directory, checkpoint, decoding)
    layout = command.Layout(
        scores=scores, alignments=alignments, n_best=decoding.n_best > 1, as_json=as_json
    )
    oddities = command.Oddities()
    is_typed = not text and input_file == "-" and sys.stdin.isatty()
    given = command.read_sentences(input_file, text or (), errors, oddities)
    lines = console.prompt_lines() if is_typed else given
    total = command.line_count(input_file) if not text else None
    with output(output_file) as file, console.counting(total, "line", total is not None) as count:
        chunk = 1 if is_typed else command.CHUNK
        found = command.translate_lines(
            translator, lines, layout, oddities, chunk=chunk, on_batch=count
        )
        command.write_lines(found, file, at_once=is_typed)
    console.oddities(oddities, translator.decoding)


@app.command()
def export(
    run: options.RunDirectory,
    export_format: Annotated[str, typer.Option("--format", help="keras or saved_model.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Directory; RUN/export/FORMAT by default.")
    ] = None,
    checkpoint: options.Checkpoint = "best",
    threads: options.Threads = None,
) -> None:
    """Write a model that others can load, and prove that it translates as the run does."""
    from s2s_cli import runtime
    from s2s_cli.run import Run

    if export_format not in FORMATS:
        raise ExportError(
            f"--format is {export_format!r}; choose from {', '.join(FORMATS)}.",
            "keras gives .keras files and a program that uses them; saved_model a graph, ids in and out.",
        )
    directory = Run(run)
    directory.config()
    directory.find_checkpoint(checkpoint)
    runtime.start(threads)
    from s2s_cli.commands.export import export

    console.exported(*export(directory, export_format, output, checkpoint))


@app.command()
def evaluate(
    run: options.RunDirectory,
    source: Annotated[str, typer.Option(help="File with a sentence a line.")],
    reference: Annotated[str, typer.Option(help="File with the translation of each line.")],
    beam_size: options.BeamSize = None,
    length_penalty: options.LengthPenalty = None,
    shortlist: options.Shortlist = None,
    precision: options.Precision = None,
    batch_size: options.BatchSize = None,
    checkpoint: options.Checkpoint = "best",
    threads: options.Threads = None,
) -> None:
    """Score a run on a test set: BLEU and chrF, with sacreBLEU's signatures."""
    from s2s_cli import runtime
    from s2s_cli.config import override_decoding
    from s2s_cli.run import Run

    directory = Run(run)
    config = directory.config()
    decoding = override_decoding(
        config,
        beam_size=beam_size,
        length_penalty=length_penalty,
        shortlist=shortlist,
        precision=precision,
        batch_size=batch_size,
        n_best=1,
    )
    directory.find_checkpoint(checkpoint)
    runtime.start(threads)
    from s2s_cli.commands.evaluate import evaluate
    from s2s_cli.decoding.translator import Translator

    translator = Translator.from_run(directory, checkpoint, decoding)
    with console.counting(None, "line", True) as count:
        found = evaluate(translator, source, reference, config.training.bleu_tokenizer, count)
    console.scores(found)


@app.command()
def init(
    source: Annotated[str, typer.Argument(help="File with a source sentence a line.")],
    target: Annotated[str, typer.Argument(help="File with the translation of each line.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The config to write.")] = Path(
        "s2s.yaml"
    ),
) -> None:
    """Write a commented starter config for a pair of files."""
    from s2s_cli.commands.init import write_starter_config

    write_starter_config(source, target, output)
    console.say(f"wrote {output}. Next:")
    console.say(f"  s2s train {output}", bold=True)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the config, for editors and for reading."""
    from s2s_cli.schema import Config

    typer.echo(json.dumps(Config.model_json_schema(), indent=2))
