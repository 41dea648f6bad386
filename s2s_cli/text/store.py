"""The token store: encoded sentence pairs and their text in memory-mapped files.

Memory does not grow with the corpus; only a few chunks of sentences are held at a time.
"""

from __future__ import annotations

import functools
import itertools
import json
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from s2s_cli.files import replace_folder, sha256, write_text
from s2s_cli.text.chunks import chunks
from s2s_cli.text.filters import Counts, Filters
from s2s_cli.text.padding import FlatRows
from s2s_cli.text.rows import Pair
from s2s_cli.text.tokenizer import UNK, Tokenizers

# Pairs that are encoded together.
CHUNK = 5_000
# Offsets that are read at a time.
BLOCK = 1 << 18
# Part of every key: stores in another format are built again.
STORE_FORMAT = 3

# A pair, and the ids of its source and of its target.
_EncodedPair = tuple[Pair, list[int], list[int]]

_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True)
class RowArray:
    """Rows of unequal length in one flat array: row i is values[offsets[i]:offsets[i + 1]]."""

    values: NDArray[Any]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> NDArray[Any]:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    @functools.cached_property
    def lengths(self) -> NDArray[Any]:
        """Length of each row, uint16 where all fit, else int32."""
        blocks = [(i, min(len(self), i + BLOCK)) for i in range(0, len(self), BLOCK)]
        longest = max((int(self._lengths(*block).max()) for block in blocks), default=0)
        lengths = np.empty(len(self), np.uint16 if longest < 2**16 else np.int32)
        for start, stop in blocks:
            lengths[start:stop] = self._lengths(start, stop)
        return lengths

    def _lengths(self, start: int, stop: int) -> NDArray[np.int64]:
        return np.diff(self.offsets[start : stop + 1])

    def take(self, rows: NDArray[np.integer]) -> FlatRows:
        """The given rows, one behind the other."""
        starts = self.offsets[rows]
        lengths = self.offsets[rows.astype(np.int64) + 1] - starts
        begins = np.cumsum(lengths) - lengths
        positions = np.repeat(starts - begins, lengths) + np.arange(int(lengths.sum()))
        return FlatRows(self.values[positions], lengths)


@dataclass(frozen=True)
class TokenStore:
    """Encoded sentence pairs on disk. `key` identifies what they were made from."""

    key: str
    source: RowArray
    target: RowArray
    source_text: RowArray
    target_text: RowArray
    weights: NDArray[np.float32]
    """Weight of each pair in the loss."""
    corpora: NDArray[np.int32]
    """Number of the corpus that each pair comes from."""
    counts: Counts

    def __len__(self) -> int:
        return self.counts.used

    def unknown_shares(self) -> tuple[float, float]:
        """The share of `<unk>` among the tokens, of the source and of the target."""
        shares = []
        for values in (self.source.values, self.target.values):
            blocks = (values[start : start + BLOCK] for start in range(0, len(values), BLOCK))
            unknown = sum(int(np.count_nonzero(block == UNK)) for block in blocks)
            shares.append(unknown / max(1, len(values)))
        return shares[0], shares[1]

    def texts(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[str, str]]:
        """Source and target sentences, in order: all, or those of the rows from `start` to `stop`."""
        for row in range(start, len(self) if stop is None else min(stop, len(self))):
            yield (
                bytes(self.source_text[row]).decode("utf-8"),
                bytes(self.target_text[row]).decode("utf-8"),
            )


def open_store(folder: Path, key: str | None = None) -> TokenStore | None:
    """The store in `folder`; None if there is none, it is damaged, or `key` is given and not its
    key."""
    return open_described(folder, key, lambda description: _map_files(folder, description))


def open_described(
    folder: Path, key: str | None, map_files: Callable[[dict[str, Any]], _Out]
) -> _Out | None:
    """What `map_files` makes of the description in a folder's store.json; None if the files are
    damaged, or `key` is given and not theirs."""
    try:
        description = json.loads((folder / "store.json").read_text(encoding="utf-8"))
        if key not in (None, description["key"]) or description["sha256"] != checksums(folder):
            return None
        return map_files(description)
    except (OSError, ValueError, LookupError, TypeError):
        return None


def map_store(folder: Path) -> TokenStore:
    """The store in `folder`, whose files are not compared with their checksums."""
    return _map_files(folder, json.loads((folder / "store.json").read_text(encoding="utf-8")))


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a store, by name."""
    return {path.name: sha256(path) for path in sorted(folder.glob("*.bin"))}


def _map_files(folder: Path, description: dict[str, Any]) -> TokenStore:
    """Maps the files of a store into memory."""
    return TokenStore(
        key=description["key"],
        source=map_rows(folder, "source", description["dtypes"]["source"]),
        target=map_rows(folder, "target", description["dtypes"]["target"]),
        source_text=map_rows(folder, "source_text", "uint8"),
        target_text=map_rows(folder, "target_text", "uint8"),
        weights=_map_array(folder, "weights", "float32"),
        corpora=_map_array(folder, "corpora", "int32"),
        counts=Counts(**description["counts"]),
    )


def map_rows(folder: Path, name: str, dtype: str) -> RowArray:
    """Maps the files of the rows `name` into memory."""
    return RowArray(_map_array(folder, name, dtype), _map_array(folder, f"{name}.offsets", "int64"))


def _map_array(folder: Path, name: str, dtype: str) -> NDArray[Any]:
    path = folder / f"{name}.bin"
    if path.stat().st_size == 0:  # an empty file cannot be mapped
        return np.zeros(0, dtype)
    return np.memmap(path, dtype, mode="r")


def build_store(
    folder: Path,
    key: str,
    pairs: Iterable[Pair],
    tokenizers: Tokenizers,
    *,
    filters: Filters,
    threads: int,
    source_tags: Sequence[int | None] = (),
    on_progress: Callable[[int], None] = lambda pairs_done: None,
) -> TokenStore:
    """Encodes pairs into `folder`, which is replaced as a whole once all are written.

    `source_tags` are the ids that are put before the sources of each corpus, if any are. Pairs that a
    filter leaves out are counted. `on_progress(pairs_done)` is called after each chunk; what it
    raises ends the building.
    """
    unfinished = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    dtypes = {
        side: "uint16" if tokenizer.vocab_size <= 2**16 else "int32"
        for side, tokenizer in (("source", tokenizers.source), ("target", tokenizers.target))
    }
    left_out: Counter[str] = Counter()
    read = 0

    def encode(chunk: list[Pair]) -> list[_EncodedPair]:
        sources = tokenizers.source.encode([pair.source for pair in chunk])
        targets = tokenizers.target.encode([pair.target for pair in chunk])
        tagged = (tag_source(pair.corpus, ids) for pair, ids in zip(chunk, sources, strict=True))
        return list(zip(chunk, tagged, targets, strict=True))

    def tag_source(corpus: int, ids: list[int]) -> list[int]:
        tag = source_tags[corpus] if source_tags else None
        return [tag, *ids] if tag is not None and ids else ids

    with _Writer(unfinished, dtypes) as writer:
        for encoded in _map_in_threads(encode, chunks(pairs, CHUNK), threads):
            used = []
            for pair, source, target in encoded:
                reason = filters.reason(pair, len(source), len(target))
                if reason is None:
                    used.append((pair, source, target))
                else:
                    left_out[reason.name] += 1
            writer.write(used)
            read += len(encoded)
            on_progress(read)
    counts = Counts(read, read - left_out.total(), dict(left_out))
    description = {
        "key": key,
        "counts": asdict(counts),
        "dtypes": dtypes,
        "sha256": checksums(unfinished),
    }
    write_text(unfinished / "store.json", json.dumps(description) + "\n")
    replace_folder(unfinished, folder)
    return _map_files(folder, description)


def _map_in_threads(
    function: Callable[[_In], _Out], values: Iterable[_In], threads: int
) -> Iterator[_Out]:
    """`function` of each value, in order, computed ahead in threads.

    SentencePiece releases the interpreter lock, so reading and writing go on meanwhile.
    """
    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Future[_Out]] = deque()
        for value in values:
            pending.append(pool.submit(function, value))
            if len(pending) > threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


class _Writer:
    """Appends encoded pairs to the files of a store."""

    def __init__(self, folder: Path, dtypes: dict[str, str]):
        self._dtypes = dtypes
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

    def write(self, encoded: Sequence[_EncodedPair]) -> None:
        """Appends pairs with their ids."""
        pairs = [pair for pair, _, _ in encoded]
        self._append_ids("source", [ids for _, ids, _ in encoded])
        self._append_ids("target", [ids for _, _, ids in encoded])
        self._append_texts("source_text", [pair.source.encode() for pair in pairs])
        self._append_texts("target_text", [pair.target.encode() for pair in pairs])
        self._append("weights", np.array([pair.weight for pair in pairs], np.float32))
        self._append("corpora", np.array([pair.corpus for pair in pairs], np.int32))

    def _append_ids(self, name: str, rows: list[list[int]]) -> None:
        self._append(name, np.fromiter(itertools.chain.from_iterable(rows), self._dtypes[name]))
        self._append_offsets(name, list(map(len, rows)))

    def _append_texts(self, name: str, texts: list[bytes]) -> None:
        self._files[name].write(b"".join(texts))
        self._append_offsets(name, list(map(len, texts)))

    def _append_offsets(self, name: str, lengths: list[int]) -> None:
        self._append(f"{name}.offsets", self._ends[name] + np.cumsum(lengths, dtype=np.int64))
        self._ends[name] += sum(lengths)

    def _append(self, name: str, values: NDArray[Any]) -> None:
        self._files[name].write(values.tobytes())
