"""(seed, epoch) becomes a plan of length-bucketed batches; a plan becomes tf.data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from s2s_cli.text.store import TokenStore
from s2s_cli.text.tokenizer import BOS, EOS


@dataclass(frozen=True)
class Plan:
    """The batches of an epoch: batch i holds the pairs order[starts[i]:starts[i + 1]]."""

    order: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        return self.order[self.starts[index] : self.starts[index + 1]]


@dataclass(frozen=True)
class Batch:
    """Padded ids; see `arrays` for shapes. Token counts leave padding out."""

    source_ids: np.ndarray
    target_in_ids: np.ndarray
    target_out_ids: np.ndarray
    weights: np.ndarray

    @property
    def source_tokens(self) -> int:
        """Source pieces, `</s>` counted."""
        return int(np.count_nonzero(self.source_ids))

    @property
    def target_tokens(self) -> int:
        """Target pieces, `</s>` counted."""
        return int(np.count_nonzero(self.target_out_ids))

    def arrays(self) -> dict[str, np.ndarray]:
        """source_ids (B,S), target_in_ids and target_out_ids (B,T) int32, weights (B,T) float32."""
        return {
            "source_ids": self.source_ids,
            "target_in_ids": self.target_in_ids,
            "target_out_ids": self.target_out_ids,
            "weights": self.weights,
        }


def plan_epoch(
    store: TokenStore,
    *,
    seed: int,
    epoch: int,
    batch_tokens: int | None = None,
    batch_size: int | None = None,
    mixing_weights: Sequence[float] | None = None,
) -> Plan:
    """The plan of one epoch, a pure function of its arguments.

    Pairs are shuffled, sorted by length (those of equal lengths stay shuffled),
    cut into batches, and the batches are shuffled. A batch holds `batch_size`
    pairs, or as many as keep rows × the longest side within `batch_tokens`
    (one pair at least). Each pair stands in it once, unless corpora are mixed.
    """
    random = np.random.default_rng((seed, epoch))
    rows = _rows(store, seed, epoch, mixing_weights)
    order = random.permutation(rows)
    # One more on each side: </s> of the source, <s> or </s> of the target.
    source, target = store.source.lengths[order] + 1, store.target.lengths[order] + 1
    longer, shorter = np.maximum(source, target), np.minimum(source, target)
    # By the longer side, and within it by the shorter one. NumPy sorts integers of 16 bits
    # in linear time.
    longest = int(longer.max(initial=0))
    key = (longer.astype(np.int64) * (longest + 1) + shorter).astype(
        np.min_scalar_type((longest + 1) ** 2)
    )
    by_length = np.argsort(key, kind="stable")
    order, longer = order[by_length], longer[by_length]
    starts = _cut(longer, batch_tokens, batch_size)
    return _shuffled(order, starts, random.permutation(len(starts) - 1))


def plan_in_order(store: TokenStore, *, batch_size: int) -> Plan:
    """A plan for scoring: every pair once, sorted by length, nothing random."""
    longer = np.maximum(store.source.lengths, store.target.lengths)
    starts = _cut(longer, None, batch_size)
    return Plan(np.argsort(longer, kind="stable"), starts)


def _rows(
    store: TokenStore, seed: int, epoch: int, mixing_weights: Sequence[float] | None
) -> np.ndarray:
    """The pairs of an epoch, before any order.

    A mixed corpus of n pairs gives its share of the epoch: it is dealt out
    permutation after permutation, so that all its pairs stand equally often.
    """
    if mixing_weights is None:
        return np.arange(len(store), dtype=np.int32 if len(store) < 2**31 else np.int64)
    chosen = []
    for corpus, weight in enumerate(mixing_weights):
        members = np.flatnonzero(store.corpora == corpus)
        share = round(len(store) * weight / sum(mixing_weights))
        if len(members) == 0:
            continue
        positions = np.arange(epoch * share, (epoch + 1) * share)
        for cycle in np.unique(positions // len(members)):
            deal = np.random.default_rng((seed, corpus, int(cycle))).permutation(members)
            chosen.append(deal[positions[positions // len(members) == cycle] % len(members)])
    return np.concatenate(chosen)


def _cut(longer: np.ndarray, batch_tokens: int | None, batch_size: int | None) -> np.ndarray:
    """Where batches start in pairs sorted by `longer`; the end is the last entry."""
    total = len(longer)
    if batch_size is not None:
        return np.append(np.arange(0, total, batch_size), total)
    assert batch_tokens is not None
    starts, counts = [0], np.arange(1, batch_tokens + 1)
    while starts[-1] < total:
        start = starts[-1]
        # Sorted lengths make rows × longest grow with the end of the batch.
        most = min(total - start, max(1, batch_tokens // int(longer[start])))
        sizes = counts[:most] * longer[start : start + most]
        starts.append(start + max(1, int(np.searchsorted(sizes, batch_tokens, side="right"))))
    return np.array(starts)


def _shuffled(order: np.ndarray, starts: np.ndarray, permutation: np.ndarray) -> Plan:
    """The same batches in another order."""
    batches = [order[starts[index] : starts[index + 1]] for index in permutation]
    ends = np.cumsum(np.diff(starts)[permutation])
    return Plan(np.concatenate(batches), np.append(0, ends))


def make_batch(store: TokenStore, rows: np.ndarray) -> Batch:
    """The pairs `rows` as padded ids."""
    target_out_ids = store.target.padded(rows, (), (EOS,))
    return Batch(
        source_ids=store.source.padded(rows, (), (EOS,)),
        target_in_ids=store.target.padded(rows, (BOS,), ()),
        target_out_ids=target_out_ids,
        weights=(target_out_ids != 0) * store.weights[rows][:, None],
    )


def batches(store: TokenStore, plan: Plan, start: int = 0) -> Iterator[Batch]:
    """The batches of a plan from `start` on, made by tf.data ahead of their use."""
    import tensorflow as tf

    def generate() -> Iterator[tuple[np.ndarray, ...]]:
        for index in range(start, len(plan)):
            yield tuple(make_batch(store, plan[index]).arrays().values())

    ids = tf.TensorSpec((None, None), tf.int32)
    signature = (ids, ids, ids, tf.TensorSpec((None, None), tf.float32))
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature).prefetch(4)
    for arrays in dataset.as_numpy_iterator():
        yield Batch(*arrays)
