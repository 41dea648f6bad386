"""Which target pieces go with a source piece, learned from the token store.

IBM model 1 (https://aclanthology.org/J93-2003, section 4.1) between pieces. It names the
few types that a translation of a sentence can be made of, so that a search need not
score all of them.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s2s_cli.arrays import load_arrays
from s2s_cli.errors import RunError
from s2s_cli.files import write_bytes
from s2s_cli.schema import MOST_CANDIDATES
from s2s_cli.text.store import TokenStore
from s2s_cli.text.tokenizer import EOS, PAD, UNK

# Meetings of a source and a target position; more say little more about frequent pieces,
# and this many take some seconds and some hundred megabytes.
MEETINGS = 8_000_000
ROUNDS = 4
# Target ids that are in memory at a time.
VALUES = 1 << 22
# Types that any translation may need, beside those that are kept for each source piece.
FREQUENT = 2_000


@dataclass(frozen=True)
class Lexicon:
    """likeliest (source types, MOST_CANDIDATES) int32, the best first, 0 where there are fewer;
    frequent (≤ FREQUENT,) int32."""

    likeliest: np.ndarray
    frequent: np.ndarray

    @classmethod
    def load(cls, path: Path, source_types: int, target_types: int) -> Lexicon:
        """Reads what `save` wrote; RunError where it is missing, damaged, or of other vocabularies."""
        size = 4 * (source_types * MOST_CANDIDATES + FREQUENT) + 1_000
        try:
            arrays = load_arrays(path, size)
            lexicon = cls(arrays["likeliest"], arrays["frequent"])
            lexicon._require_fit(source_types, target_types)
            return lexicon
        except (OSError, ValueError, KeyError) as error:
            raise RunError(
                f"{path}: the lexicon cannot be read: {error}.",
                "The training learns it anew when it goes on; without decoding.shortlist none is needed.",
            ) from None

    def _require_fit(self, source_types: int, target_types: int) -> None:
        """Raises ValueError where the arrays are not those of vocabularies of these sizes."""
        if self.likeliest.shape != (source_types, MOST_CANDIDATES) or self.frequent.ndim != 1:
            raise ValueError("it is of other vocabularies")
        for ids in (self.likeliest, self.frequent):
            if ids.dtype != np.int32 or ((ids < 0) | (ids >= target_types)).any():
                raise ValueError("it names types that there are not")

    def save(self, path: Path) -> None:
        """Writes both arrays, whole or not at all."""
        content = io.BytesIO()
        np.savez_compressed(content, likeliest=self.likeliest, frequent=self.frequent)
        write_bytes(path, content.getvalue())

    def candidates(
        self, sources: Sequence[Sequence[int]], per_piece: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The types (C,) int32 that these sentences may be translated with, and which of
        them each may take, (B,C) bool: what stands beside a sentence changes nothing."""
        allowed = np.zeros((len(sources), self._types), bool)
        allowed[:, [UNK, EOS, *self.frequent]] = True
        for row, ids in zip(allowed, sources, strict=True):
            row[self.likeliest[list(ids), :per_piece]] = True
        allowed[:, PAD] = False
        candidates = np.flatnonzero(allowed.any(axis=0))
        return candidates.astype(np.int32), allowed[:, candidates]

    @functools.cached_property
    def _types(self) -> int:
        """As many types as it may name."""
        return 1 + int(max(EOS, self.likeliest.max(), self.frequent.max(initial=0)))


def learn_lexicon(store: TokenStore, source_types: int, target_types: int, *, seed: int) -> Lexicon:
    """Learns from the pairs of a store, or from a sample of them."""
    met, position = _meetings(store, _sample(store, seed), target_types)
    keys, place = np.unique(met, return_inverse=True)
    source, target = keys // target_types, keys % target_types
    probability = np.ones(len(keys))
    for _ in range(ROUNDS):
        share = probability[place]
        share /= np.bincount(position, share)[position]
        counts = np.bincount(place, share, minlength=len(keys))
        probability = counts / np.bincount(source, counts)[source]
    occurrences = np.zeros(target_types, np.int64)
    for start in range(0, len(store.target.values), VALUES):
        stretch = store.target.values[start : start + VALUES]
        occurrences += np.bincount(stretch, minlength=target_types)
    frequent = np.argsort(-occurrences, kind="stable")[:FREQUENT]
    return Lexicon(
        _best_of_each(source, target, probability, source_types),
        frequent[occurrences[frequent] > 0].astype(np.int32),
    )


def _sample(store: TokenStore, seed: int) -> np.ndarray:
    """Pairs, in a random order, that have no more than MEETINGS; one at least."""
    rows = np.random.default_rng(seed).permutation(len(store))
    sizes = store.source.lengths[rows].astype(np.int64) * store.target.lengths[rows]
    return rows[: max(1, int(np.searchsorted(np.cumsum(sizes), MEETINGS, side="right")))]


def _meetings(store: TokenStore, rows: np.ndarray, types: int) -> tuple[np.ndarray, np.ndarray]:
    """For each source and target position of each pair: source id × types + target id, and
    a number of the target position."""
    source, target = store.source, store.target
    lengths = target.lengths[rows].astype(np.int64)
    sizes = source.lengths[rows] * lengths
    pair = np.repeat(np.arange(len(rows)), sizes)
    offset = np.arange(len(pair)) - (np.cumsum(sizes) - sizes)[pair]
    source_place, target_place = np.divmod(offset, lengths[pair])
    source_ids = source.values[source.offsets[rows][pair] + source_place].astype(np.int64)
    target_ids = target.values[target.offsets[rows][pair] + target_place]
    first = np.cumsum(lengths) - lengths
    return source_ids * types + target_ids, first[pair] + target_place


def _best_of_each(
    source: np.ndarray, target: np.ndarray, probability: np.ndarray, source_types: int
) -> np.ndarray:
    """(source types, MOST_CANDIDATES): the likeliest targets of each source, the best first."""
    order = np.lexsort((-probability, source))
    source, target = source[order], target[order]
    first = np.searchsorted(source, np.arange(source_types))
    rank = np.arange(len(source)) - first[source]
    best = np.zeros((source_types, MOST_CANDIDATES), np.int32)
    kept = rank < MOST_CANDIDATES
    best[source[kept], rank[kept]] = target[kept]
    return best
