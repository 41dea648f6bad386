"""Recognises the format of a corpus by its content and the end of its name."""

from __future__ import annotations

import os
import re

from s2s_cli.config.schema import FormatName
from s2s_cli.text.packed import NotTextError, require_text

_PACKING = re.compile(r"\.(gz|bz2|xz|lzma|zst|zstd)$", re.IGNORECASE)
_SUFFIXES: dict[str, FormatName] = {
    ".tsv": "tsv",
    ".tab": "tsv",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".tmx": "tmx",
    ".parquet": "parquet",
}
_XML_STARTS = tuple("<".encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be"))
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def recognise(path: str, start: bytes) -> FormatName:
    """The format of a file that begins with these bytes, unpacked. Raises NotTextError."""
    if start.startswith(b"PAR1"):
        return "parquet"
    content = start
    for mark in _MARKS:
        content = content.removeprefix(mark)
    content = content.lstrip()
    named = _SUFFIXES.get(os.path.splitext(_PACKING.sub("", path))[1].lower())
    if named in ("tsv", "csv"):
        require_text(start, path)
        return named
    if content.startswith(_XML_STARTS) and (
        named == "tmx" or b"tmx" in content.replace(b"\0", b"")
    ):
        return "tmx"
    require_text(start, path)
    if content.startswith(b"{"):
        return "jsonl"
    if content.startswith(b"["):
        raise NotTextError(
            "it is a JSON array, and lines with an object each are read.",
            f"Convert it with `jq -c '.[]' {path} > NEW.jsonl`.",
        )
    if named is not None:
        return named
    line = content.partition(b"\n")[0]
    if b"\t" in line:
        return "tsv"
    raise NotTextError(
        "its format is not recognised.",
        "Set `format:` to tsv, csv, jsonl, tmx or parquet beside `path:`.",
    )
