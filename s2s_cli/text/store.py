"""The token store: ids and the text they came from, memory-mapped.

Nothing here grows with the corpus but files; a chunk of sentences is in memory
at a time.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from s2s_cli.files import replace_folder, sha256, write_text
from s2s_cli.text.corpus import Pair
from s2s_cli.text.filters import Limits
from s2s_cli.text.tokenizer import Tokenizer

CHUNK = 5_000

# A pair, and the ids of its source and of its target.
_Row = tuple[Pair, list[int], list[int]]


@dataclass(frozen=True)
class Counts:
    """What became of the pairs that were read."""

    pairs: int = 0
    empty_side: int = 0
    too_long: int = 0
    uneven: int = 0
    identical: int = 0


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
    """The store in `folder`; None where there is none that was made from `key` and is whole."""
    try:
        description = json.loads((folder / "store.json").read_text(encoding="utf-8"))
        if description["key"] != key or description["sums"] != _sums(folder):
            return None
        return _mapped(folder, description)
    except (OSError, ValueError, LookupError, TypeError):  # damaged; it is made again
        return None


def _sums(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a store, by name."""
    return {path.name: sha256(path) for path in sorted(folder.glob("*.bin"))}


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
    limits: Limits,
    threads: int,
) -> TokenStore:
    """Encodes pairs into `folder`, which appears there whole or not at all.

    Pairs that break a limit are counted and left out. `key` names what the store is
    made from.
    """
    beside = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    dtypes = {
        side: "uint16" if tokenizer.size <= 2**16 else "int32"
        for side, tokenizer in (("source", source_tokenizer), ("target", target_tokenizer))
    }
    counter: Counter[str] = Counter()

    def encode(chunk: list[Pair]) -> list[_Row]:
        sources = source_tokenizer.encode([pair.source for pair in chunk])
        targets = target_tokenizer.encode([pair.target for pair in chunk])
        return list(zip(chunk, sources, targets, strict=True))

    with _Writer(beside, dtypes) as writer:
        for rows in _ahead(encode, _chunks(pairs), threads):
            broken = [limits.broken(row[0], len(row[1]), len(row[2])) for row in rows]
            writer.write([row for row, limit in zip(rows, broken, strict=True) if limit is None])
            counter.update(limit or "pairs" for limit in broken)
    counts = Counts(**counter)
    description = {"key": key, "counts": asdict(counts), "dtypes": dtypes, "sums": _sums(beside)}
    write_text(beside / "store.json", json.dumps(description) + "\n")
    replace_folder(beside, folder)
    return _mapped(folder, description)


def _chunks(pairs: Iterable[Pair]) -> Iterator[list[Pair]]:
    read = iter(pairs)
    while chunk := list(itertools.islice(read, CHUNK)):
        yield chunk


def _ahead(function: Callable[[Any], Any], values: Iterable[Any], threads: int) -> Iterator[Any]:
    """`function` of each value, in order, computed in threads while earlier ones are made use of.

    SentencePiece lets go of the interpreter, which reads and writes meanwhile.
    """
    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Future] = deque()
        for value in values:
            pending.append(pool.submit(function, value))
            if len(pending) > threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


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

    def write(self, rows: Sequence[_Row]) -> None:
        """Appends pairs with their ids."""
        pairs, *sides = zip(*rows, strict=True) if rows else ((), (), ())
        for name, ids in zip(("source", "target"), sides, strict=True):
            flat = np.fromiter(itertools.chain.from_iterable(ids), self._dtypes[name])
            self._ragged(name, flat.tobytes(), ids)
        for name in ("source", "target"):
            texts = [getattr(pair, name).encode() for pair in pairs]
            self._ragged(f"{name}_text", b"".join(texts), texts)
        self._append("weights", np.array([pair.weight for pair in pairs], np.float32))
        self._append("corpora", np.array([pair.corpus for pair in pairs], np.uint8))

    def _ragged(self, name: str, flat: bytes, rows: Sequence[Sequence[int]]) -> None:
        ends = self._ends[name] + np.cumsum(list(map(len, rows)), dtype=np.int64)
        self._files[name].write(flat)
        self._append(f"{name}.offsets", ends)
        self._ends[name] = int(ends[-1]) if len(ends) else self._ends[name]

    def _append(self, name: str, values: np.ndarray) -> None:
        self._files[name].write(values.tobytes())
