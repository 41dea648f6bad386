"""Reads the lines of a file by its content, whatever its name: plain, or packed by gzip, xz, bzip2 or
Zstandard. What is no text is named, with the command that makes it text."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import shlex
import zlib
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO, cast

from s2s_cli.errors import pip_install_hint

# Bytes at the start of a file by which it is judged.
START = 4096

# What a damaged file raises while it is read.
DAMAGES = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)


class NotTextError(Exception):
    """A file that does not hold lines of UTF-8; the message continues its name."""

    def __init__(self, message: str, hint: str):
        super().__init__(message)
        self.message, self.hint = message, hint


def lines_of(file: BinaryIO, path: str) -> Iterable[bytes]:
    """The lines of an open file, unpacked. Raises NotTextError.

    `file` is buffered; `path` names it in hints.
    """
    unpacked = unpack(file)
    require_text(peek(unpacked), path)
    return unpacked


def unpack(file: BinaryIO) -> BinaryIO:
    """The unpacked bytes of an open file, buffered: the file itself where it is not packed."""
    start = peek(file)
    for magic, unpacker in _UNPACKERS.items():
        if start.startswith(magic):
            return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, unpacker(file))))
    return file


def peek(file: BinaryIO) -> bytes:
    """The next bytes of a buffered file, START at most, which stay to be read."""
    return cast(io.BufferedReader, file).peek(START)[:START]


def _zstandard(file: BinaryIO) -> object:
    try:
        import zstandard
    except ImportError:
        raise NotTextError(
            "it is packed by Zstandard, and the package zstandard is not installed.",
            pip_install_hint("zstd"),
        ) from None
    new_frame = zstandard.ZstdDecompressor().decompressobj
    return _ZstandardReader(file, new_frame, zstandard.ZstdError)


class _ZstandardReader(io.RawIOBase):
    """The unpacked bytes of frames of Zstandard; EOFError where the last one is not whole, OSError
    for `error`, which the package raises for damaged ones.

    The package's own reader takes a file that ends too early for one that ends.
    """

    def __init__(self, file: BinaryIO, new_frame: Callable[[], Any], error: type[Exception]):
        self._file, self._new_frame, self._error = file, new_frame, error
        self._frame, self._left = new_frame(), b""
        self._is_inside = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            packed = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame, self._is_inside = self._new_frame(), False
            packed = packed or self._file.read(1 << 16)
            if not packed:
                if self._is_inside:
                    raise EOFError("the packed file ends too early")
                return 0
            self._is_inside = True
            try:
                self._left = self._frame.decompress(packed)
            except self._error as error:
                raise OSError(str(error)) from None
        taken = min(len(buffer), len(self._left))
        buffer[:taken], self._left = self._left[:taken], self._left[taken:]
        return taken


_UNPACKERS: dict[bytes, Callable[[BinaryIO], object]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"BZh": bz2.BZ2File,
    b"\x28\xb5\x2f\xfd": _zstandard,
}

# The longer of two marks with the same beginning comes first.
_ENCODINGS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_ZIP = b"PK\x03\x04"
_SPREADSHEETS = (".xlsx", ".ods")
_CONTAINERS = {
    _ZIP: ("a zip archive", "unzip {}"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "7z x {}"),
    b"Rar!": ("a rar archive", "unrar x {}"),
    b"%PDF": ("a PDF", "pdftotext {}"),
    b"\x04\x22\x4d\x18": ("packed by LZ4", "lz4 -d {}"),
    b"\x1f\x9d": ("packed by compress", "uncompress {}"),
    b"PAR1": ("a Parquet file", None),
}
_TAR_AT = 257
# The share of printable characters in text.
_MOST_TEXT = 0.95


def require_text(start: bytes, path: str) -> None:
    """Raises NotTextError where the bytes at the start of a file are not those of UTF-8 text."""
    name = shlex.quote(path)
    for mark, encoding in _ENCODINGS.items():
        if start.startswith(mark):
            raise _not_utf8(encoding, name)
    if start.startswith(_ZIP) and path.lower().endswith(_SPREADSHEETS):
        raise NotTextError("it is a spreadsheet, not text.", "Save it as CSV.")
    for magic, (what, command) in _CONTAINERS.items():
        if start.startswith(magic):
            hint = (
                f"Unpack it with `{command.format(name)}`." if command else "Name it under `path:`."
            )
            raise NotTextError(f"it is {what}, not text.", hint)
    if start[_TAR_AT:].startswith(b"ustar"):
        raise NotTextError("it is a tar archive, not text.", f"Unpack it with `tar -xf {name}`.")
    zeros = start.count(0)
    if zeros > max(3, len(start) // 50):
        found = _unmarked_utf16(start)
        if found is not None:
            raise _not_utf8(found, name)
        if zeros > len(start) // 5:
            hint = "Export it as text, or unpack it with its own program."
            raise NotTextError("it is binary, not text.", hint)


def _unmarked_utf16(start: bytes) -> str | None:
    """The byte order of UTF-16 without a mark, or None where it is no such text."""
    texts = {
        name: start[: len(start) // 2 * 2].decode(name, "replace")
        for name in ("UTF-16LE", "UTF-16BE")
    }
    # In the wrong byte order, spaces and line ends are letters of other scripts.
    spaces = {name: sum(map(text.count, " \t\n")) for name, text in texts.items()}
    name = max(spaces, key=lambda name: spaces[name])
    text = texts[name].translate(dict.fromkeys(map(ord, "\t\r\n"), " "))
    is_text = spaces[name] > 0 and sum(map(str.isprintable, text)) >= _MOST_TEXT * len(text)
    return name if is_text else None


def _not_utf8(encoding: str, name: str) -> NotTextError:
    return NotTextError(
        f"it is {encoding}, not UTF-8.",
        f"Convert it with `iconv -f {encoding} -t UTF-8 {name} > NEW`.",
    )
