"""The same sentence pairs written in every format."""

import csv
import io
import json
from pathlib import Path
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.parquet as pq

# Texts that a careless reader changes: quotes, delimiters, markup, other scripts, an empty side.
PAIRS = [
    ("A dog runs.", "Un chien court."),
    ('"Yes," he said.', "« Oui », dit-il."),
    ("5 < 6 & 7 > 2; a,b", "l'eau; c,d"),
    ("ein Wort", ""),
    ("猫が走る。", "ねこ\u2028行"),
    ('He said "no".', '"Non"'),
]
TMX = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tmx SYSTEM "http://nowhere.invalid/tmx14.dtd">
<tmx version="1.4"><header srclang="en" segtype="sentence" datatype="plaintext" adminlang="en"
 creationtool="t" creationtoolversion="1" o-tmf="t"/><body>
{units}</body></tmx>
"""


def tmx_unit(source: str, target: str) -> str:
    return (
        f'<tu><tuv xml:lang="en-GB"><seg>{source}</seg></tuv>'
        f'<tuv xml:lang="fr"><seg>{target}</seg></tuv></tu>\n'
    )


def write_table(pairs: list[tuple[str, str]], delimiter: str, header: bool = False) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerows([("source", "target")] * header + pairs)
    return text.getvalue().encode()


def parquet_bytes(pairs: list[tuple[str, str]]) -> bytes:
    file = io.BytesIO()
    sources, targets = zip(*pairs, strict=True)
    pq.write_table(pa.table({"source": sources, "target": targets}), file)
    return file.getvalue()


def in_every_format(pairs: list[tuple[str, str]]) -> dict[str, bytes]:
    """The content of a file of each format that is read under `path`, by its name."""
    units = "".join(tmx_unit(escape(a), escape(b)) for a, b in pairs)
    lines = [json.dumps({"id": 1, "source": a, "target": b}) + "\n" for a, b in pairs]
    return {
        "plain.tsv": "".join(f"{a}\t{b}\n" for a, b in pairs).encode(),
        "quoted.tsv": write_table(pairs, "\t"),
        "comma.csv": write_table(pairs, ","),
        "semicolon.csv": b"\xef\xbb\xbf" + write_table(pairs, ";", header=True),
        "lines.jsonl": "".join(lines).encode(),
        "memory.tmx": TMX.format(units=units).encode(),
        "utf16.tmx": TMX.replace("UTF-8", "UTF-16").format(units=units).encode("utf-16"),
        "table.parquet": parquet_bytes(pairs),
    }


def write_parallel(pairs: list[tuple[str, str]], folder: Path) -> dict[str, str]:
    sides = {}
    for side, texts in zip(("source", "target"), zip(*pairs, strict=True), strict=True):
        path = folder / f"parallel.{side}"
        path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8", newline="\n")
        sides[side] = str(path)
    return sides
