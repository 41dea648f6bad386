"""Lines, tables and bars on the screen. Translations and tables go to stdout, the rest to stderr."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer
from tqdm import tqdm

from s2s_cli.errors import S2SError

if TYPE_CHECKING:
    from types import TracebackType

# Work that is done sooner shows no bar, and no lines where there is no terminal.
BAR_DELAY = 1.0
FIRST_LINE, LINE_INTERVAL = 10.0, 30.0


# The file that lines are written to as well, and whether they are written to stderr then.
_log: TextIO | None = None
_is_shown = True


def say(text: str = "", **style: Any) -> None:
    """Writes a line to stderr; Typer drops its colours where stderr is not a terminal."""
    _write_log(text)
    if _is_shown:
        typer.secho(text, err=True, **style)


@contextlib.contextmanager
def logged(path: Path, *, is_shown: bool) -> Iterator[None]:
    """Writes what is said, and an error that ends the work, to a file as well; or, where it is not
    shown, to the file alone."""
    global _log, _is_shown
    path.parent.mkdir(exist_ok=True)
    with open(path, "a", encoding="utf-8", buffering=1) as _log:
        _is_shown = is_shown
        try:
            yield
        except S2SError as problem:
            _write_log(f"error: {problem.message}")
            raise
        finally:
            _log, _is_shown = None, True


def _write_log(text: str) -> None:
    if _log is not None:
        _log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")


def print_line(text: str, **style: Any) -> None:
    """Writes a line to stdout."""
    typer.secho(text, **style)


def print_report(lines: Iterable[tuple[str, str | None]]) -> None:
    """Writes lines with their colours to stdout, in UTF-8 whatever the locale is."""
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    for line, colour in lines:
        print_line(line, fg=colour)


def shown_path(path: str) -> str:
    """A path from the working directory where it is inside."""
    return path.removeprefix(os.getcwd() + os.sep)


def error(problem: S2SError) -> None:
    """Writes a mistake and what to do about it."""
    say(f"error: {problem.message}", fg="red")
    if problem.hint:
        say(f"hint: {problem.hint}")


def warn(text: str) -> None:
    """Writes a warning."""
    say(f"warning: {text}", fg="yellow")


def next_commands(*commands: Sequence[str]) -> None:
    """Suggests commands, quoted so that they can be pasted into a shell."""
    for command in commands:
        say(f"  {shlex.join(command)}", bold=True)


def stopping() -> None:
    """Confirms an interruption, and says what happens next."""
    say("stopping after this step; once more stops at once")


def stopped(*, while_stopping: bool) -> None:
    """Says in what state an interruption left the run."""
    if while_stopping:
        say("stopped at once; the same command resumes from the last checkpoint")
    else:
        say("interrupted before the first step; the same command begins or resumes as before")


class Meter:
    """How far some work is: a bar with an ETA on a terminal, a line now and then elsewhere.

    `total` is None where it is not known. The unit "B" stands for bytes. Nothing is shown where
    `show` is false.
    """

    def __init__(self, label: str, total: int | None, unit: str, *, show: bool = True):
        self._label, self._total, self._unit = label, total, unit
        self._done, self._started = 0, time.monotonic()
        self._next_line = self._started + FIRST_LINE
        is_terminal = sys.stderr.isatty()
        self._has_lines = show and not is_terminal
        self._bar = tqdm(
            desc=label,
            total=total,
            unit=unit if unit == "B" else f" {unit}",
            unit_scale=unit == "B",
            disable=not (show and is_terminal),
            delay=BAR_DELAY,
            leave=False,
            dynamic_ncols=True,
        )

    def __enter__(self) -> Meter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def add(self, count: int) -> None:
        """Adds finished work."""
        self._done += count
        self._bar.update(count)
        now = time.monotonic()
        if self._has_lines and now >= self._next_line:
            self._next_line = now + LINE_INTERVAL
            say(self._line(now - self._started))

    def move_to(self, done: int) -> None:
        """Sets how much is finished altogether."""
        self.add(done - self._done)

    def close(self) -> None:
        """Removes the bar from the screen."""
        self._bar.close()

    def clear(self) -> None:
        """Removes the bar until it is next updated, so that a line can be written."""
        self._bar.clear()

    def _line(self, seconds: float) -> str:
        is_bytes = self._unit == "B"
        scale, unit = (1_000_000, "MB") if is_bytes else (1, self._unit + "s")
        done = f"{self._done // scale:,}"
        if not self._total:
            return f"{self._label}: {done} {unit}, {clock(seconds)}"
        remaining = seconds * max(0, self._total - self._done) / max(1, self._done)
        total = f"{self._total // scale:,}"
        return f"{self._label}: {done} of {total} {unit}, {clock(remaining)} left"


def prompt_lines() -> Iterator[str]:
    """Yields the lines that a person types, until the end of input."""
    say("One sentence a line; Ctrl-D ends.")
    while True:
        typer.echo("> ", nl=False, err=True)
        line = sys.stdin.readline()
        if not line:
            say()
            return
        yield line.rstrip("\n")


def clock(seconds: float) -> str:
    """Seconds as 1:02:03 or 2:03."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
