"""The command line: its commands in groups, and the exit codes.

0: done. 1: a mistake in a value, a file or a config. 2: an unknown command or option, or a missing
argument. 130: interrupted, with everything saved.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from s2s_cli import __version__
from s2s_cli.cli import console
from s2s_cli.cli.backtranslate import backtranslate
from s2s_cli.cli.check import check
from s2s_cli.cli.clean import clean
from s2s_cli.cli.compare import compare
from s2s_cli.cli.distill import distill
from s2s_cli.cli.evaluate import evaluate
from s2s_cli.cli.export import export
from s2s_cli.cli.init import init
from s2s_cli.cli.inspect import inspect
from s2s_cli.cli.merge import merge
from s2s_cli.cli.process import BROKEN_PIPE, INTERRUPTED
from s2s_cli.cli.schema import schema
from s2s_cli.cli.score import score
from s2s_cli.cli.serve import serve
from s2s_cli.cli.train import train
from s2s_cli.cli.translate import translate
from s2s_cli.cli.verify import verify
from s2s_cli.errors import S2SError

USER_MISTAKE = 1

GROUPS: dict[str, tuple[Callable[..., None], ...]] = {
    "Data": (check, clean, backtranslate, distill),
    "Model": (init, train, inspect),
    "Use": (translate, merge, score, evaluate, compare, serve),
    "Ship": (export, verify),
    "Settings": (schema,),
}

app = typer.Typer(
    name="s2s",
    help="Turns a file of sentence pairs into a translation model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group, commands in GROUPS.items():
    for command in commands:
        app.command(rich_help_panel=group)(command)


def _show_version(requested: bool) -> None:
    if requested:
        console.print_line(f"s2s {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line with `arguments`, or those of the process; returns the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        return int(app(given, prog_name="s2s", standalone_mode=False) or 0)
    except typer.TyperException as problem:
        if given:  # otherwise Typer has shown the help
            console.error(S2SError(problem.format_message(), _usage_hint(given)))
        # A missing argument is a subclass of a bad one.
        return USER_MISTAKE if type(problem) is typer.BadParameter else problem.exit_code
    except S2SError as problem:
        console.error(problem)
    except typer.Abort:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader is gone, as with `| head`. The buffer's rest must not raise this again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as problem:
        place = f"{problem.filename}: " if problem.filename else ""
        hint = "What was saved before is unchanged. Correct this and run the same command again."
        console.error(S2SError(f"{place}{problem.strerror or problem}.", hint))
    return USER_MISTAKE


def _usage_hint(given: Sequence[str]) -> str:
    """What to do about arguments that do not fit the command."""
    names = [command.__name__ for commands in GROUPS.values() for command in commands]
    if given[0] not in names:
        return "See `s2s --help`."
    sentences = [text for text in given[1:] if _may_be_sentence(text)]
    if given[0] == "translate" and sentences and "--" not in given:
        example = shlex.join(["s2s", "translate", "RUN", "--", sentences[0]])
        return f"Sentences that begin with - go after --, as in `{example}`."
    return f"See `s2s {given[0]} --help`."


def _may_be_sentence(argument: str) -> bool:
    """Whether an argument that begins with - looks more like a sentence than like an option."""
    is_letter = len(argument) == 2 and argument[1:].isalpha()
    is_option = is_letter or argument.startswith(("--", "-i", "-o", "-h"))
    return argument.startswith("-") and (" " in argument or not is_option)
