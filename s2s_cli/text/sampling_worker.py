"""The program that cuts some chunks of a token store at random: a process of its own.

Each chunk is drawn from a seed of its own, so the ids do not depend on how many such processes there
are.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from s2s_cli.text.store import TokenStore, map_store
from s2s_cli.text.tokenizer import Sampler, Tokenizer

# Pairs that are drawn from one seed.
CHUNK = 2_000
SIDES = ("source", "target")
# What is written for a chunk: how many pairs stay as they are, and the bytes of each array.
_HEADER = struct.Struct(f"<{1 + 2 * len(SIDES)}q")
_NICENESS = 10


@dataclass(frozen=True)
class Drawing:
    """What the ids of an epoch are drawn from.

    `strengths` and `models` are by side; a side without a strength is not drawn. `tags` are the ids
    that stand before the sources of each corpus, where they have one. A pair of which a side gets
    more than `longest` tokens keeps its plain ids.
    """

    store: str
    models: dict[str, str]
    tokenizer_type: str
    strengths: dict[str, float]
    seed: int
    epoch: int
    longest: int | None = None
    tags: tuple[int | None, ...] = ()

    def dump(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class DrawnChunk:
    """The ids of a chunk: for each side that is drawn, the lengths int64 (rows,) and the values."""

    unchanged: int
    """Pairs that keep their plain ids, as they would be too long."""
    arrays: dict[str, tuple[NDArray[np.int64], NDArray[np.integer]]]


def draw_chunk(
    drawing: Drawing, store: TokenStore, samplers: Mapping[str, Sampler], chunk: int
) -> DrawnChunk:
    """Draws the ids of the pairs of one chunk."""
    start, stop = chunk * CHUNK, min(len(store), (chunk + 1) * CHUNK)
    texts = dict(zip(SIDES, zip(*store.texts(start, stop), strict=True), strict=True))
    plain = {"source": store.source, "target": store.target}
    drawn = {
        side: sample(texts[side], Random(chunk_seed(drawing, side, chunk)))
        for side, sample in samplers.items()
    }
    for row, corpus in enumerate(store.corpora[start:stop].tolist() if drawing.tags else ()):
        if drawing.tags[corpus] is not None and "source" in drawn:
            drawn["source"][row].insert(0, drawing.tags[corpus])
    too_long = [
        row
        for row in range(stop - start)
        if drawing.longest is not None
        and any(len(rows[row]) > drawing.longest for rows in drawn.values())
    ]
    for side, rows in drawn.items():
        for row in too_long:
            rows[row] = plain[side][start + row].tolist()
    arrays = {side: _flat(rows, plain[side].values.dtype) for side, rows in drawn.items()}
    return DrawnChunk(len(too_long), arrays)


def make_samplers(drawing: Drawing) -> dict[str, Sampler]:
    """What cuts the sentences of each side that is drawn."""
    return {
        side: Tokenizer.load(Path(drawing.models[side]), drawing.tokenizer_type).sampler(strength)
        for side, strength in drawing.strengths.items()
    }


def chunk_seed(drawing: Drawing, side: str, chunk: int) -> int:
    """The seed of one side of a chunk, below 2**64."""
    text = f"{drawing.seed}\t{drawing.epoch}\t{chunk}\t{side}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _flat(
    rows: Sequence[Sequence[int]], dtype: np.dtype[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.integer]]:
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    return lengths, np.fromiter((i for row in rows for i in row), dtype, int(lengths.sum()))


def write_chunk(file: BinaryIO, chunk: DrawnChunk) -> None:
    """Writes a chunk so that `read_chunk` reads it."""
    sizes, parts = [], []
    for side in SIDES:
        arrays = [array.tobytes() for array in chunk.arrays.get(side, ())]
        sizes += [len(array) for array in arrays] or [-1, -1]
        parts += arrays
    file.write(_HEADER.pack(chunk.unchanged, *sizes) + b"".join(parts))
    file.flush()


def read_chunk(file: BinaryIO, dtypes: dict[str, np.dtype[np.integer]]) -> DrawnChunk | None:
    """The next chunk of a worker; None where it ended before that."""
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    unchanged, *sizes = _HEADER.unpack(header)
    arrays = {}
    for side, lengths_size, values_size in zip(SIDES, sizes[::2], sizes[1::2], strict=True):
        if lengths_size < 0:
            continue
        lengths, values = file.read(lengths_size), file.read(values_size)
        if len(lengths) < lengths_size or len(values) < values_size:
            return None
        arrays[side] = (np.frombuffer(lengths, np.int64), np.frombuffer(values, dtypes[side]))
    return DrawnChunk(unchanged, arrays)


def main(arguments: Sequence[str]) -> None:
    """Draws the chunks with the given numbers and writes them to stdout, until nobody reads it."""
    drawing = Drawing(**json.loads(arguments[0]))
    chunks: Iterable[int] = range(*map(int, arguments[1:4]))
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    store, samplers = map_store(Path(drawing.store)), make_samplers(drawing)
    # The training that reads this may have ended.
    with contextlib.suppress(OSError):
        for chunk in chunks:
            write_chunk(sys.stdout.buffer, draw_chunk(drawing, store, samplers, chunk))
        return
    os._exit(1)  # what is left in the buffer cannot be written


if __name__ == "__main__":
    main(sys.argv[1:])
