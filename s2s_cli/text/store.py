"""The token store: ids and the text they came from, memory-mapped.

Nothing here grows with the corpus but files; a chunk of sentences is in memory
at a time.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from s2s_cli.run import write_text
from s2s_cli.text.corpus import Pair
from s2s_cli.text.tokenizer import Tokenizer

CHUNK = 20_000


@dataclass(frozen=True)
class Counts:
    """What became of the pairs that were read."""

    pairs: int = 0
    empty_side: int = 0
    too_long: int = 0


@dataclass(frozen=True)
class Ragged:
    """Rows of unequal length in one flat array: row i is values[offsets[i]:offsets[i + 1]]."""

    values: np.ndarray
    offsets: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Length of each row, int32."""
        return np.diff(self.offsets).astype(np.int32)

    def __getitem__(self, row: int) -> np.ndarray:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def padded(
        self, rows: np.ndarray, before: tuple[int, ...], after: tuple[int, ...]
    ) -> np.ndarray:
        """The rows, between fixed ids, as int32 (rows, longest) with 0 on the right."""
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        width = int(lengths.max(initial=0))
        inside = np.arange(width) < lengths[:, None]
        ids = np.zeros((len(rows), len(before) + width + len(after)), np.int32)
        ids[:, : len(before)] = before
        body = ids[:, len(before) : len(before) + width]
        body[inside] = self.values[(starts[:, None] + np.arange(width))[inside]]
        for shift, token in enumerate(after):
            ids[np.arange(len(rows)), len(before) + lengths + shift] = token
        return ids


@dataclass(frozen=True)
class TokenStore:
    """Encoded sentence pairs on disk."""

    source: Ragged
    target: Ragged
    source_text: Ragged
    target_text: Ragged
    weights: np.ndarray
    corpora: np.ndarray
    counts: Counts

    def __len__(self) -> int:
        return self.counts.pairs

    def texts(self) -> Iterator[tuple[str, str]]:
        """Source and target sentences, in order."""
        for row in range(len(self)):
            yield (
                bytes(self.source_text[row]).decode("utf-8"),
                bytes(self.target_text[row]).decode("utf-8"),
            )


def open_store(folder: Path, key: str) -> TokenStore | None:
    """The store in `folder`; None where there is none or it was made from something else."""
    try:
        description = json.loads((folder / "store.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if description["key"] != key:
        return None
    try:
        return _mapped(folder, description)
    except (OSError, ValueError):  # a file of it was lost or cut short; it is rebuilt
        return None


def _mapped(folder: Path, description: dict[str, Any]) -> TokenStore:
    """Maps the files of a store into memory."""
    counts = Counts(**description["counts"])

    def array(name: str, dtype: str) -> np.ndarray:
        path = folder / f"{name}.bin"
        if path.stat().st_size == 0:
            return np.zeros(0, dtype)
        return np.memmap(path, dtype, mode="r")

    def ragged(name: str, dtype: str) -> Ragged:
        return Ragged(array(name, dtype), array(f"{name}.offsets", "int64"))

    return TokenStore(
        source=ragged("source", description["dtypes"]["source"]),
        target=ragged("target", description["dtypes"]["target"]),
        source_text=ragged("source_text", "uint8"),
        target_text=ragged("target_text", "uint8"),
        weights=array("weights", "float32"),
        corpora=array("corpora", "uint8"),
        counts=counts,
    )


def build_store(
    folder: Path,
    key: str,
    pairs: Iterable[Pair],
    source_tokenizer: Tokenizer,
    target_tokenizer: Tokenizer,
    *,
    max_length: int,
    threads: int,
) -> TokenStore:
    """Encodes pairs into `folder`, which appears there whole or not at all.

    Pairs with an empty side, or with a side of more than `max_length` pieces,
    are counted and left out. `key` names what the store is made from.
    """
    beside = folder.with_name(f".{folder.name}.building")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    dtypes = {
        side: "uint16" if tokenizer.size <= 2**16 else "int32"
        for side, tokenizer in (("source", source_tokenizer), ("target", target_tokenizer))
    }
    read, counts = iter(pairs), Counts()
    with _Writer(beside, dtypes) as writer:
        while chunk := list(itertools.islice(read, CHUNK)):
            full = [pair for pair in chunk if pair.source and pair.target]
            sources = source_tokenizer.encode([pair.source for pair in full], threads)
            targets = target_tokenizer.encode([pair.target for pair in full], threads)
            kept = [
                row
                for row in zip(full, sources, targets, strict=True)
                if 0 < len(row[1]) <= max_length and 0 < len(row[2]) <= max_length
            ]
            writer.write(kept)
            counts = Counts(
                pairs=counts.pairs + len(kept),
                empty_side=counts.empty_side + len(chunk) - len(full),
                too_long=counts.too_long + len(full) - len(kept),
            )
    description = {"key": key, "counts": asdict(counts), "dtypes": dtypes}
    write_text(beside / "store.json", json.dumps(description) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    beside.rename(folder)
    store = open_store(folder, key)
    assert store is not None
    return store


class _Writer:
    """Appends rows to the files of a store."""

    def __init__(self, folder: Path, dtypes: dict[str, str]):
        self._folder, self._dtypes = folder, dtypes
        names = ("source", "target", "source_text", "target_text")
        self._ends = dict.fromkeys(names, 0)
        columns = [*names, *(f"{name}.offsets" for name in names), "weights", "corpora"]
        self._files = {name: open(folder / f"{name}.bin", "wb") for name in columns}
        for name in names:
            self._append(f"{name}.offsets", np.zeros(1, np.int64))

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def write(self, rows: Sequence[tuple[Pair, list[int], list[int]]]) -> None:
        """Appends pairs with their ids."""
        self._ragged("source", [ids for _, ids, _ in rows], self._dtypes["source"])
        self._ragged("target", [ids for _, _, ids in rows], self._dtypes["target"])
        self._ragged("source_text", [pair.source.encode() for pair, _, _ in rows], "uint8")
        self._ragged("target_text", [pair.target.encode() for pair, _, _ in rows], "uint8")
        self._append("weights", np.array([pair.weight for pair, _, _ in rows], np.float32))
        self._append("corpora", np.array([pair.corpus for pair, _, _ in rows], np.uint8))

    def _ragged(self, name: str, rows: Sequence[Sequence[int]], dtype: str) -> None:
        flat = np.fromiter(itertools.chain.from_iterable(rows), dtype)
        ends = self._ends[name] + np.cumsum([len(row) for row in rows], dtype=np.int64)
        self._append(name, flat)
        self._append(f"{name}.offsets", ends)
        self._ends[name] += len(flat)

    def _append(self, name: str, values: np.ndarray) -> None:
        self._files[name].write(values.tobytes())
