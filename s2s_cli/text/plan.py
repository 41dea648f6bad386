"""The plan of an epoch: which pairs stand together in which batch, computed from lengths alone.

A plan is a pure function of (lengths, seed, epoch, batch size), so training can resume at any
batch without replaying the ones before it. Time grows linearly with the number of pairs; memory
is 4 bytes a pair beside the lengths themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

# Raised whenever the same arguments would give another plan.
PLAN_VERSION = 2

# Pairs processed at a time. It bounds temporary memory and never changes a plan.
BLOCK = 1 << 18
# NumPy sorts 16-bit keys in linear time.
MAX_KEYS = 1 << 16

IntArray = NDArray[np.integer]


@dataclass(frozen=True)
class Plan:
    """The batches of an epoch; `plan[i]` is the array of row numbers of batch i."""

    order: IntArray
    """Row numbers, sorted by length, (rows,)."""
    starts: IntArray
    """Where each batch starts in `order`, and at last the end, (batches + 1,)."""
    sequence: IntArray
    """For each position in the epoch, the number of the batch that is used there, (batches,)."""

    def __len__(self) -> int:
        return len(self.sequence)

    def __getitem__(self, index: int) -> IntArray:
        batch = int(self.sequence[index])
        return self.order[int(self.starts[batch]) : int(self.starts[batch + 1])]


def plan_epoch(
    source_lengths: IntArray,
    target_lengths: IntArray,
    *,
    seed: int,
    epoch: int,
    batch_tokens: int | None = None,
    batch_size: int | None = None,
    corpora: IntArray | None = None,
    mixing_weights: Sequence[float] | None = None,
    block: int = BLOCK,
) -> Plan:
    """Plans one epoch: pairs of similar length share a batch; the batches come in random order.

    Lengths are in tokens, without `<s>` and `</s>`. A batch holds `batch_size` pairs, or as
    many as keep rows × longest side (with `</s>`) within `batch_tokens`, at least one. An epoch
    holds each pair once. With `mixing_weights`, each corpus has its share of the epoch instead;
    `corpora` gives the corpus of each pair.
    """
    rows = None
    if mixing_weights is not None:
        assert corpora is not None
        rows = _mixed_rows(corpora, mixing_weights, seed, epoch, block)
    keys = _LengthKeys.of(source_lengths, target_lengths, rows)
    order, counts = _counting_sort(keys.total, keys, keys.size, rows=rows, block=block)
    random = np.random.default_rng((seed, epoch))
    _shuffle_groups(order, counts, random)
    starts = _batch_starts(*keys.lengths(counts), batch_tokens, batch_size)
    sequence = np.arange(len(starts) - 1, dtype=_row_type(len(starts)))
    random.shuffle(sequence)
    return Plan(order, starts, sequence)


def plan_in_order(source_lengths: IntArray, target_lengths: IntArray, *, batch_size: int) -> Plan:
    """Plans a pass for scoring: each pair once, sorted by length, nothing random."""
    keys = _LengthKeys.of(source_lengths, target_lengths)
    order, counts = _counting_sort(keys.total, keys, keys.size)
    starts = _batch_starts(*keys.lengths(counts), None, batch_size)
    return Plan(order, starts, np.arange(len(starts) - 1, dtype=_row_type(len(starts))))


@dataclass(frozen=True)
class _LengthKeys:
    """Sort keys of pairs: by the longer side, then by the shorter one.

    The shorter side is compared in steps of 2**shift tokens, so that long sentences do not
    need more than MAX_KEYS keys.
    """

    source_lengths: IntArray
    target_lengths: IntArray
    rows: IntArray | None
    longest: int
    shift: int

    @classmethod
    def of(
        cls, source_lengths: IntArray, target_lengths: IntArray, rows: IntArray | None = None
    ) -> _LengthKeys:
        """Keys for all pairs, or for the pairs of `rows`."""
        # One token more on each side: `</s>` of the source, `<s>` or `</s>` of the target.
        longest = 1 + max(int(source_lengths.max(initial=0)), int(target_lengths.max(initial=0)))
        shift = 0
        while (longest >> shift) > 0 and (longest + 1) * ((longest >> shift) + 1) > MAX_KEYS:
            shift += 1
        return cls(source_lengths, target_lengths, rows, longest, shift)

    @property
    def total(self) -> int:
        """Number of pairs in the epoch."""
        return len(self.source_lengths if self.rows is None else self.rows)

    @property
    def size(self) -> int:
        """Number of possible keys."""
        return (self.longest + 1) * self._width

    @property
    def _width(self) -> int:
        return (self.longest >> self.shift) + 1

    def __call__(self, block: slice) -> IntArray:
        """The keys of a block of pairs."""
        index = block if self.rows is None else self.rows[block]
        type_ = np.min_scalar_type(self.size - 1)
        source = self.source_lengths[index].astype(type_) + type_.type(1)
        target = self.target_lengths[index].astype(type_) + type_.type(1)
        longer, shorter = np.maximum(source, target), np.minimum(source, target)
        keys: IntArray = longer * type_.type(self._width) + (shorter >> type_.type(self.shift))
        return keys

    def lengths(self, counts: IntArray) -> tuple[list[int], list[int]]:
        """The lengths of the longer side that occur, ascending, and how many pairs have each."""
        by_length = counts.reshape(-1, self._width).sum(axis=1)
        occurring = np.flatnonzero(by_length)
        return occurring.tolist(), by_length[occurring].tolist()


def _counting_sort(
    total: int,
    keys: Callable[[slice], IntArray],
    size: int,
    *,
    rows: IntArray | None = None,
    block: int = BLOCK,
) -> tuple[IntArray, IntArray]:
    """Sorts positions 0 … total - 1 (or `rows`) by key, stably; returns them and the count of each key.

    `keys(slice)` gives the keys, below `size`, of a block of positions.
    """
    blocks = [slice(start, min(total, start + block)) for start in range(0, total, block)]
    counts = np.zeros(size, np.int64)
    for positions in blocks:
        counts += np.bincount(keys(positions), minlength=size)
    ends = np.cumsum(counts) - counts
    order = np.empty(total, _row_type(total) if rows is None else rows.dtype)
    for positions in blocks:
        block_keys = keys(positions)
        by_key = np.argsort(block_keys, kind="stable")
        in_block = np.bincount(block_keys, minlength=size)
        # Element j of the sorted block goes to the end of what has its key already.
        destinations = np.repeat(ends - (np.cumsum(in_block) - in_block), in_block)
        destinations += np.arange(len(by_key))
        by_key += positions.start
        order[destinations] = by_key if rows is None else rows[by_key]
        ends += in_block
    return order, counts


def _row_type(total: int) -> np.dtype[np.integer]:
    """The smallest type that holds row numbers up to `total`."""
    return np.dtype(np.uint32 if total < 2**32 else np.int64)


def _shuffle_groups(order: IntArray, counts: IntArray, random: np.random.Generator) -> None:
    """Shuffles, in place, each stretch of `order` that has the same key."""
    start = 0
    for count in counts[counts > 0].tolist():
        random.shuffle(order[start : start + count])
        start += count


def _batch_starts(
    lengths: list[int], counts: list[int], batch_tokens: int | None, batch_size: int | None
) -> IntArray:
    """Cuts pairs sorted by length into batches; returns where each starts, and the end.

    There are counts[i] pairs of lengths[i].
    """
    total = sum(counts)
    type_ = _row_type(total + 1)
    end_of_all = np.full(1, total, type_)
    if batch_size is not None:
        return np.concatenate([np.arange(0, total, batch_size, dtype=type_), end_of_all])
    assert batch_tokens is not None
    starts: list[IntArray] = [np.zeros(1 if total else 0, type_)]
    position = rows = 0  # `rows` are in the batch that is being filled
    for length, count in zip(lengths, counts, strict=True):
        most = max(1, batch_tokens // length)
        joining = min(count, max(0, most - rows))
        position, end = position + joining, position + count
        rows += joining
        if position < end:
            starts.append(np.arange(position, end, most, dtype=type_))
            rows, position = end - int(starts[-1][-1]), end
    return np.concatenate([*starts, end_of_all])


def _mixed_rows(
    corpora: IntArray, weights: Sequence[float], seed: int, epoch: int, block: int
) -> IntArray:
    """The pairs of an epoch of mixed corpora, in no particular order.

    The pairs of a corpus are dealt out over the epochs permutation after permutation, so none
    is used a second time before all were used once. An epoch has about as many pairs as there are; a
    corpus without pairs takes no share.
    """
    order, counts = _counting_sort(
        len(corpora), lambda positions: corpora[positions], len(weights), block=block
    )
    whole = sum(Fraction(w) for w, n in zip(weights, counts, strict=True) if n)
    shares = [
        len(corpora) * Fraction(weight) / whole if count else Fraction(0)
        for weight, count in zip(weights, counts, strict=True)
    ]
    # Fractions of a pair carry over to the next epoch.
    bounds = [(int(epoch * share), int((epoch + 1) * share)) for share in shares]
    rows = np.empty(sum(stop - start for start, stop in bounds), order.dtype)
    written = first = 0
    for corpus, ((start, stop), count) in enumerate(zip(bounds, counts.tolist(), strict=True)):
        part = rows[written : written + stop - start]
        _deal(part, order[first : first + count], (seed, corpus), start)
        written, first = written + stop - start, first + count
    return rows


def _deal(part: IntArray, members: IntArray, seed: tuple[int, int], start: int) -> None:
    """Fills `part` with members start, start + 1, … of their endless series of permutations.

    `members` are sorted; they are used as working memory.
    """
    filled, whole = 0, len(members)
    while filled < len(part):
        cycle, position = divmod(start + filled, whole)
        left = len(part) - filled
        if position == 0 and left >= whole:
            # The order within a permutation that is used as a whole does not matter.
            taken = left - left % whole
            part[filled : filled + taken].reshape(-1, whole)[:] = members
        else:
            taken = min(left, whole - position)
            members.sort()
            np.random.default_rng((*seed, cycle)).shuffle(members)
            part[filled : filled + taken] = members[position : position + taken]
            part[filled : filled + taken].sort()  # lengths are then read in order, which is faster
        filled += taken
