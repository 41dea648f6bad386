"""Finds where two parallel files get out of step because a line is missing in one of them.

Each source line is scored against the target lines around its own position. Where a line is
missing, an offset other than 0 scores higher from there on. The advantage of each offset over
the current one is summed, and the sum is reset to zero when it falls below zero (the CUSUM
test), so single translations that look better elsewhere have no effect.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import deque
from dataclasses import dataclass

MAX_OFFSET = 3
# An offset must score higher than the current one by MIN_GAIN a line on average, and by
# MIN_TOTAL_GAIN in sum. Pairs in random order do not reach it.
MIN_GAIN = 0.1
MIN_TOTAL_GAIN = 15.0
# A shared token that occurs in one line of some 20,000 counts as much as the best length.
MAX_RARITY = 10.0
# Characters added to both lengths before they are compared, as one character more says little
# about a short line.
LENGTH_SMOOTHING = 5
TOKEN = re.compile(r"\d+|\w+|[^\w\s]")
BUCKETS = 1 << 16


@dataclass(frozen=True)
class Shift:
    """From `line` on, counted from 1, source line i belongs to target line i + offset."""

    line: int
    offset: int


@dataclass(frozen=True)
class _Features:
    """What can be compared across languages: the length, and each token with its rarity."""

    log_length: float
    rarity: dict[str, float]


class ShiftDetector:
    """Reads pairs of lines one by one; `shifts` lists the shifts found so far."""

    def __init__(self) -> None:
        self.shifts: list[Shift] = []
        self._offset = 0
        self._lines = 0
        self._scored = 0
        self._length_difference = 0.0
        self._sources: deque[_Features] = deque()
        self._targets: deque[_Features] = deque()
        self._source_tokens, self._target_tokens = _TokenCounts(), _TokenCounts()
        self._gain = dict.fromkeys(range(-MAX_OFFSET, MAX_OFFSET + 1), 0.0)
        self._gains_since = dict.fromkeys(self._gain, 1)

    def add(self, source: str, target: str) -> None:
        """Reads the next line of each file."""
        self._lines += 1
        source_features = self._source_tokens.features(source)
        target_features = self._target_tokens.features(target)
        if source and target:
            self._length_difference += target_features.log_length - source_features.log_length
        self._sources.append(source_features)
        self._targets.append(target_features)
        # A source line is scored once the target lines on both sides of it were read.
        if len(self._sources) > MAX_OFFSET:
            self._scored += 1
            self._update(self._sources.popleft())
            if len(self._targets) > 2 * MAX_OFFSET:
                self._targets.popleft()

    def _update(self, source: _Features) -> None:
        """Adds the scores of the next source line to the gains; notes a shift if one is reached."""
        scores = self._scores(source)
        if self._offset not in scores:
            return
        for offset, score in scores.items():
            if self._gain[offset] == 0.0:
                self._gains_since[offset] = self._scored
            gained = score - scores[self._offset] - MIN_GAIN
            self._gain[offset] = max(0.0, self._gain[offset] + gained)
        best = max(self._gain, key=self._gain.__getitem__)
        if self._gain[best] > MIN_TOTAL_GAIN:
            self._offset = best
            self.shifts.append(Shift(self._gains_since[best], best))
            self._gain = dict.fromkeys(self._gain, 0.0)

    def _scores(self, source: _Features) -> dict[int, float]:
        """How well the source line fits each target line around it, by offset."""
        usual_difference = self._length_difference / self._lines
        first = self._lines - len(self._targets) + 1
        return {
            first + index - self._scored: _score(source, target, usual_difference)
            for index, target in enumerate(self._targets)
        }


class _TokenCounts:
    """In how many lines each token occurred, by hash, so that memory stays constant."""

    def __init__(self) -> None:
        self._counts = [0] * BUCKETS
        self._lines = 0

    def features(self, text: str) -> _Features:
        """Counts the tokens of a line and returns its features."""
        self._lines += 1
        rarity = {}
        for token in set(TOKEN.findall(text.lower())):
            bucket = zlib.crc32(token.encode("utf-8", "replace")) % BUCKETS
            self._counts[bucket] += 1
            rarity[token] = math.log(self._lines / self._counts[bucket])
        return _Features(math.log(len(text) + LENGTH_SMOOTHING), rarity)


def _score(source: _Features, target: _Features, usual_difference: float) -> float:
    """From -1 to 1: higher for rare tokens in common and for the usual difference in length."""
    shared = sum(
        min(source.rarity[token], target.rarity[token])
        for token in source.rarity.keys() & target.rarity.keys()
    )
    difference = abs(target.log_length - source.log_length - usual_difference)
    return min(1.0, shared / MAX_RARITY) - min(1.0, difference)
