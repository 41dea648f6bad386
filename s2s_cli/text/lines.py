"""Lines of files: read as bytes or as UTF-8 text, packed or not."""

from __future__ import annotations

import codecs
import hashlib
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import BinaryIO, TypeVar

from s2s_cli.text.packed import DAMAGES, NotTextError, lines_of
from s2s_cli.text.rows import UNREADABLE, CorpusError, Problem, not_utf8, place_of

# Rows between two updates of a Reading.
_ROWS_PER_UPDATE = 1 << 10

_Item = TypeVar("_Item")


@dataclass
class Reading:
    """How far files were read, for progress, and what was found out on the way."""

    done: int = 0
    """Bytes that were read; of packed files the packed ones."""
    line_ends: int = 0
    """Line ends inside texts, which became spaces."""
    read_as: dict[str, str] = field(default_factory=dict)
    """How a file was read where its content decided that, in words."""

    def follow(self, rows: Iterable[_Item], file: BinaryIO) -> Iterator[_Item]:
        """The rows; `done` follows the position in `file`. Parallel files add to the same sum."""
        before = 0
        for number, row in enumerate(rows):
            if number % _ROWS_PER_UPDATE == 0:
                position = file.tell()
                self.done += position - before
                before = position
            yield row
        self.done += file.tell() - before


def one_line(text: str) -> str:
    """Text with each line break, which a token may contain, replaced by a space."""
    return " ".join(text.splitlines())


def read_lines(path: str) -> Iterator[str]:
    """The lines of a UTF-8 file without line ends, unpacked; `-` is stdin.

    Raises CorpusError, with file and line, for what cannot be read.
    """
    problems: list[Problem] = []
    for number, raw in enumerate(raw_lines(path), start=1):
        text = decode(raw, path, number, problems)
        if problems:
            raise problems[0].error()
        yield text


def bare_lines(path: str) -> Iterator[bytes]:
    """The bytes of each line of a file, without its end and without a byte order mark.

    Only a line feed ends a line, so that parallel files stay parallel. Raises CorpusError.
    """
    for number, raw in enumerate(raw_lines(path), start=1):
        yield bare_line(raw, number)


def bare_line(raw: bytes, number: int) -> bytes:
    """Line `number` of a file without its end, and the first without a byte order mark."""
    if number == 1:
        raw = raw.removeprefix(codecs.BOM_UTF8)
    return raw.removesuffix(b"\n").removesuffix(b"\r")


def decode(raw: bytes, path: str, number: int, problems: list[Problem]) -> str:
    """The text of a line; appends a problem if it is not UTF-8."""
    line = bare_line(raw, number)
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        text = line.decode("utf-8", "surrogateescape")
        message = f"this line is not UTF-8 (byte {error.start + 1}: {error.reason})."
        problems.append(not_utf8(place_of(path, number), message, text))
        return text


def raw_lines(path: str, reading: Reading | None = None) -> Iterator[bytes]:
    """The lines of a file with their ends, unpacked; `-` is stdin.

    Raises CorpusError for what cannot be read.
    """
    number = 0
    with reading_errors(path, lambda: f"line {number}"), opened(path) as file:
        lines = lines_of(file, path)
        for line in reading.follow(lines, file) if reading else lines:
            number += 1
            yield line


def opened(path: str) -> BinaryIO:
    """A file opened for reading its bytes, buffered; `-` is stdin."""
    return sys.stdin.buffer if path == "-" else open(path, "rb")


@contextmanager
def reading_errors(path: str, last: Callable[[], str]) -> Iterator[None]:
    """Raises CorpusError in place of what goes wrong while a file is read; `last` names the place
    that was reached."""
    try:
        yield
    except FileNotFoundError:
        raise _missing(path) from None
    except NotTextError as error:
        raise Problem(UNREADABLE, path, error.message, error.hint).error() from None
    except DAMAGES as error:
        message = f"cannot be read after {last()}: {error}."
        raise Problem(UNREADABLE, path, message).error() from None


def require_regular(path: str) -> None:
    """Raises CorpusError for a pipe, a device or a folder: a corpus is read several times.

    A file that is missing is no matter here; reading it reports that.
    """
    with suppress(OSError, ValueError):
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise Problem(
                UNREADABLE,
                path,
                "this must be a regular file: it is read several times.",
                "Write what it gives to a file first, for example with `COMMAND > FILE`.",
            ).error()


def fingerprint(path: str) -> str:
    """SHA-256 of a file's content; DataError if it cannot be read."""
    require_regular(path)
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise _missing(path) from None
    except (OSError, ValueError) as error:  # the latter for a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise Problem(UNREADABLE, path, f"cannot be read: {reason}.").error() from None


def _missing(path: str) -> CorpusError:
    hint = "Check the path; one in a config is relative to the config."
    return Problem(UNREADABLE, path, "there is no such file.", hint).error()
