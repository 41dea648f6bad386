"""Which texts were seen before, at eight bytes each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Seen:
    """A set of texts, kept as 64-bit hashes in sorted arrays.

    An array is merged with the one before it once it is as large, so that there are
    few of them, and each hash is moved a logarithmic number of times.
    """

    def __init__(self) -> None:
        self._arrays: list[np.ndarray] = []

    def contains(self, texts: Sequence[str]) -> np.ndarray:
        """Which of the texts were added, bool (texts,)."""
        return self._contains(_hashes(texts))

    def add(self, texts: Sequence[str]) -> np.ndarray:
        """Adds the texts; which of them had been added or stand earlier among them, bool (texts,)."""
        hashes = _hashes(texts)
        is_repeated = self._contains(hashes)
        new, first = np.unique(hashes, return_index=True)
        is_later = np.ones(len(hashes), bool)
        is_later[first] = False
        self._insert(new[~is_repeated[first]])
        return is_repeated | is_later

    def _contains(self, hashes: np.ndarray) -> np.ndarray:
        found = np.zeros(len(hashes), bool)
        for array in self._arrays:
            place = np.minimum(np.searchsorted(array, hashes), len(array) - 1)
            found |= array[place] == hashes
        return found

    def _insert(self, hashes: np.ndarray) -> None:
        if not len(hashes):
            return
        while self._arrays and len(self._arrays[-1]) <= len(hashes):
            hashes = np.concatenate([self._arrays.pop(), hashes])
            hashes.sort()
        self._arrays.append(hashes)


def _hashes(texts: Sequence[str]) -> np.ndarray:
    return np.fromiter(map(hash, texts), np.int64, len(texts))
