"""Which target tokens are likely translations of each source token, learned from the token store.

IBM model 1 (https://aclanthology.org/J93-2003, section 4.1) between tokens. It names the few
target tokens that a translation of a sentence can be made of, so that a search need not score
the whole vocabulary.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from s2s_cli.config.schema import MAX_CANDIDATES
from s2s_cli.errors import RunError
from s2s_cli.files import write_bytes
from s2s_cli.text.store import TokenStore
from s2s_cli.text.tokenizer import EOS, PAD, UNK

# Pairs of a source and a target position to learn from. More would say little more about
# frequent tokens; these take some seconds and some hundred megabytes.
MAX_POSITION_PAIRS = 8_000_000
ROUNDS = 4
# Target ids that are counted at a time.
BLOCK = 1 << 22
# Frequent target tokens that any translation may use.
MAX_FREQUENT = 2_000


@dataclass(frozen=True)
class Lexicon:
    """Candidate translations of tokens.

    `likeliest` (source vocab size, MAX_CANDIDATES) int32: target ids, the likeliest first, then
    zeros. `frequent` (≤ MAX_FREQUENT,) int32: frequent target ids. `store_key` is the key of the
    token store that it was learned from.
    """

    likeliest: NDArray[np.int32]
    frequent: NDArray[np.int32]
    store_key: str = ""

    @classmethod
    def load(
        cls,
        path: Path,
        source_vocab_size: int,
        target_vocab_size: int,
        *,
        store_key: str | None = None,
    ) -> Lexicon:
        """Reads what `save` wrote.

        Raises RunError if it is missing, damaged, for other vocabularies, or, with `store_key`,
        learned from another store.
        """
        try:
            lexicon = cls._read(path, 4 * (source_vocab_size * MAX_CANDIDATES + MAX_FREQUENT))
            lexicon._require_sizes(source_vocab_size, target_vocab_size)
            if store_key not in (None, lexicon.store_key):
                raise ValueError("it was learned from another corpus")
            return lexicon
        except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
            raise RunError(
                f"{path}: the lexicon cannot be used: {error}.",
                "Training learns it again when it resumes; it is needed only for"
                " decoding.shortlist.",
            ) from None

    @classmethod
    def _read(cls, path: Path, max_bytes: int) -> Lexicon:
        size = path.stat().st_size
        if size > max_bytes + 10_000:  # for names and metadata
            raise ValueError(f"it has {size} bytes, where {max_bytes} are enough")
        with safetensors.safe_open(path, framework="np") as file:
            metadata: dict[str, str] = file.metadata() or {}
            if {file.get_slice(name).get_dtype() for name in file.keys()} != {"I32"}:  # noqa: SIM118
                raise ValueError("it holds something else than int32")
            lexicon = cls(
                file.get_tensor("likeliest"), file.get_tensor("frequent"), metadata["store_key"]
            )
        if metadata["sha256"] != lexicon._checksum():
            raise ValueError("it is damaged")
        return lexicon

    def _checksum(self) -> str:
        return hashlib.sha256(self.likeliest.tobytes() + self.frequent.tobytes()).hexdigest()

    def _require_sizes(self, source_vocab_size: int, target_vocab_size: int) -> None:
        """Raises ValueError if the arrays do not belong to vocabularies of these sizes."""
        if self.likeliest.shape != (source_vocab_size, MAX_CANDIDATES) or self.frequent.ndim != 1:
            raise ValueError("it was learned for other vocabularies")
        for ids in (self.likeliest, self.frequent):
            if ((ids < 0) | (ids >= target_vocab_size)).any():
                raise ValueError("it names tokens that the vocabulary does not have")

    def save(self, path: Path) -> None:
        """Writes the lexicon; a reader sees the old file or the new one, never a part."""
        metadata = {"store_key": self.store_key, "sha256": self._checksum()}
        arrays = {"likeliest": self.likeliest, "frequent": self.frequent}
        write_bytes(path, safetensors.numpy.save(arrays, metadata))

    def candidates(
        self,
        sources: Sequence[Sequence[int]],
        per_token: int,
        required: Sequence[Sequence[int]] = (),
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """The target ids (C,) that a batch of sentences may be translated with, in order, and
        which of them each sentence may use, (B,C): this does not depend on the rest of the batch.

        `required`: further ids that each sentence may use.
        """
        size = max(self._size, 1 + max((i for ids in required for i in ids), default=0))
        allowed = np.zeros((len(sources), size), bool)
        allowed[:, [UNK, EOS, *self.frequent]] = True
        for row, ids in zip(allowed, sources, strict=True):
            row[self.likeliest[list(ids), :per_token]] = True
        for row, ids in zip(allowed, required, strict=False):
            row[list(ids)] = True
        allowed[:, PAD] = False
        candidates = np.flatnonzero(allowed.any(axis=0))
        return candidates.astype(np.int32), allowed[:, candidates]

    @functools.cached_property
    def _size(self) -> int:
        """One more than the largest id that can be a candidate."""
        return 1 + int(max(EOS, self.likeliest.max(), self.frequent.max(initial=0)))


def learn_lexicon(
    store: TokenStore, source_vocab_size: int, target_vocab_size: int, *, seed: int
) -> Lexicon:
    """Learns from the pairs of a store, or from a sample of them."""
    ids, target_positions = _position_pairs(store, _sample(store, seed), target_vocab_size)
    # Entry k of the probabilities is that of target[k] given source[k].
    unique, entries = np.unique(ids, return_inverse=True)
    source, target = unique // target_vocab_size, unique % target_vocab_size
    probability = np.ones(len(unique))
    for _ in range(ROUNDS):
        # Expectation: how likely each source position is to have caused each target position.
        responsibility = probability[entries]
        responsibility /= np.bincount(target_positions, responsibility)[target_positions]
        # Maximisation: relative expected counts.
        counts = np.bincount(entries, responsibility, minlength=len(unique))
        probability = counts / np.bincount(source, counts)[source]
    occurrences = np.zeros(target_vocab_size, np.int64)
    for start in range(0, len(store.target.values), BLOCK):
        block = store.target.values[start : start + BLOCK]
        occurrences += np.bincount(block, minlength=target_vocab_size)
    frequent = np.argsort(-occurrences, kind="stable")[:MAX_FREQUENT]
    return Lexicon(
        _likeliest(source, target, probability, source_vocab_size),
        frequent[occurrences[frequent] > 0].astype(np.int32),
        store.key,
    )


def _sample(store: TokenStore, seed: int) -> NDArray[Any]:
    """Pairs in random order with at most MAX_POSITION_PAIRS in all; at least one pair."""
    rows = np.random.default_rng(seed).permutation(len(store))
    sizes = store.source.lengths[rows].astype(np.int64) * store.target.lengths[rows]
    return rows[: max(1, int(np.searchsorted(np.cumsum(sizes), MAX_POSITION_PAIRS, side="right")))]


def _position_pairs(
    store: TokenStore, rows: NDArray[Any], target_vocab_size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each source and target position of each pair: source id × target_vocab_size + target id,
    and the number of the target position among all target positions of the rows."""
    source, target = store.source, store.target
    lengths = target.lengths[rows].astype(np.int64)
    sizes = source.lengths[rows] * lengths
    pair = np.repeat(np.arange(len(rows)), sizes)
    within_pair = np.arange(len(pair)) - (np.cumsum(sizes) - sizes)[pair]
    source_position, target_position = np.divmod(within_pair, lengths[pair])
    source_ids = source.values[source.offsets[rows][pair] + source_position].astype(np.int64)
    target_ids = target.values[target.offsets[rows][pair] + target_position]
    first = np.cumsum(lengths) - lengths
    return source_ids * target_vocab_size + target_ids, first[pair] + target_position


def _likeliest(
    source: NDArray[Any], target: NDArray[Any], probability: NDArray[Any], source_vocab_size: int
) -> NDArray[np.int32]:
    """(source vocab size, MAX_CANDIDATES): the likeliest target ids of each source id, best first."""
    order = np.lexsort((-probability, source))
    source, target = source[order], target[order]
    first = np.searchsorted(source, np.arange(source_vocab_size))
    rank = np.arange(len(source)) - first[source]
    likeliest = np.zeros((source_vocab_size, MAX_CANDIDATES), np.int32)
    is_candidate = rank < MAX_CANDIDATES
    likeliest[source[is_candidate], rank[is_candidate]] = target[is_candidate]
    return likeliest
