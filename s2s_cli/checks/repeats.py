"""Finds repeated texts, in eight bytes a text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class SeenTexts:
    """A set of texts, stored as 64-bit hashes in sorted arrays.

    A new array is merged with the last ones that are not larger. So there are few arrays,
    and each hash is moved a logarithmic number of times.
    """

    def __init__(self) -> None:
        self._arrays: list[NDArray[np.int64]] = []

    def contains(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Which of the texts were added, bool (texts,)."""
        return self._contains(_hashes(texts))

    def add(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Adds the texts; which of them repeat one added before or earlier in the list, bool (texts,)."""
        hashes = _hashes(texts)
        is_repeated = self._contains(hashes)
        new, first = np.unique(hashes, return_index=True)
        is_later = np.ones(len(hashes), bool)
        is_later[first] = False
        self._insert(new[~is_repeated[first]])
        return is_repeated | is_later

    def _contains(self, hashes: NDArray[np.int64]) -> NDArray[np.bool_]:
        found = np.zeros(len(hashes), bool)
        for array in self._arrays:
            index = np.minimum(np.searchsorted(array, hashes), len(array) - 1)
            found |= array[index] == hashes
        return found

    def _insert(self, hashes: NDArray[np.int64]) -> None:
        if not len(hashes):
            return
        while self._arrays and len(self._arrays[-1]) <= len(hashes):
            hashes = np.concatenate([self._arrays.pop(), hashes])
            hashes.sort()
        self._arrays.append(hashes)


def _hashes(texts: Sequence[str]) -> NDArray[np.int64]:
    return np.fromiter(map(hash, texts), np.int64, len(texts))
