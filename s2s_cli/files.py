"""Writes files and folders so that they are there completely or not at all."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import io
import lzma
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

from s2s_cli.errors import S2SError, pip_install_hint


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 beside `path`, then renames: a reader sees the old text or the new."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Writes beside `path`, then renames: a reader sees the old content or the new.

    Once it has returned, the content survives a power failure. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.writing")
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    flush(path.parent)


def replace_folder(beside: Path, folder: Path) -> None:
    """Renames the finished `beside` to `folder`; an old folder is removed only once it is replaced.

    Where the rename fails, the old folder is restored; where the process is killed between the
    two renames, `recover_folder` restores it. Raises OSError.
    """
    replaced = _replaced(folder)
    is_new = not folder.exists()
    if not is_new:
        shutil.rmtree(replaced, ignore_errors=True)
        os.replace(folder, replaced)
    try:
        os.replace(beside, folder)
    except OSError:
        if not is_new:
            os.replace(replaced, folder)
        raise
    flush(folder.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def recover_folder(folder: Path) -> None:
    """Restores what was at `folder` before a replacement that was interrupted."""
    if not folder.exists() and _replaced(folder).exists():
        os.replace(_replaced(folder), folder)


def remove_folder(folder: Path) -> None:
    """Removes a folder so that a part of it is never taken for the whole. Raises OSError."""
    removed = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(removed, ignore_errors=True)
    os.replace(folder, removed)
    shutil.rmtree(removed)


def _replaced(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.replaced")


def flush_folder(folder: Path) -> None:
    """Asks the system to write a folder and all files in it to disk. Raises OSError."""
    for path in [*folder.rglob("*"), folder]:
        flush(path)


def flush(path: Path) -> None:
    """Asks the system to write a file or directory to disk; Windows cannot for directories."""
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hex. Raises OSError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def output(path: str) -> Iterator[TextIO]:
    """A text file to write, UTF-8 with line feeds, which replaces `path` at the end; `-` is stdout.

    It is packed where the name ends in .gz, .bz2, .xz or .zst. Raises S2SError where that needs a
    package that is not installed.
    """
    if path == "-":
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
        yield sys.stdout
        sys.stdout.flush()
        return
    # Written beside and renamed, as the input may be the same file, or turn out unreadable.
    # A symbolic link stays, and the file that it points to is replaced.
    final = Path(os.path.realpath(path))
    is_plain = final.is_file() or not final.exists()
    written = final.with_name(f".{final.name}.{os.getpid()}") if is_plain else final
    try:
        with (
            open(written, "wb") as raw,
            _packed(raw, final.suffix) as packed,
            io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as file,
        ):
            yield file
        if is_plain:
            written.replace(final)
    finally:
        if is_plain:
            written.unlink(missing_ok=True)


def _packed(file: BinaryIO, suffix: str) -> BinaryIO:
    """What packs bytes into an open file as the ending of its name says; no time is stored."""
    packers: dict[str, Any] = {
        ".gz": lambda: gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0),
        ".bz2": lambda: bz2.BZ2File(file, "wb"),
        ".xz": lambda: lzma.LZMAFile(file, "wb"),
        ".zst": lambda: _zstandard(file),
    }
    return cast(BinaryIO, packers[suffix]()) if suffix in packers else file


def _zstandard(file: BinaryIO) -> object:
    try:
        import zstandard
    except ImportError:
        raise S2SError(
            "The output is to be packed by Zstandard, and the package zstandard is not installed.",
            pip_install_hint("zstd"),
        ) from None
    return zstandard.ZstdCompressor().stream_writer(file, closefd=False)
