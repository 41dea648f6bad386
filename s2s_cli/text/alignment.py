"""Where two parallel files go out of step: a line is missing in one of them.

Each source line is scored against the target lines around its own. Where a line is
missing, another offset than 0 scores higher from there on. The advantage of each offset is
summed up, and starts anew where it falls below zero (the CUSUM test), so a few
translations that look better elsewhere amount to nothing.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import deque
from dataclasses import dataclass

MOST_OFFSET = 3
# An offset must score higher than the one in use by SLACK a line on average, and by
# ADVANTAGE in sum. Pairs in random order stay below it.
SLACK = 0.1
ADVANTAGE = 15.0
# A shared token that stands in one line of some 20,000 counts as much as the best length.
RAREST = 10.0
# Lengths are compared as if both were longer: one character more says little of a short one.
PADDING = 5
TOKEN = re.compile(r"\d+|\w+|[^\w\s]")
BUCKETS = 1 << 16


@dataclass(frozen=True)
class Step:
    """From `line` on, counted from 1, source line i goes with target line i + offset."""

    line: int
    offset: int


@dataclass(frozen=True)
class _Traits:
    """What can be compared across languages: length, and tokens with how rare they are."""

    log_length: float
    tokens: dict[str, float]


class Alignment:
    """Reads pairs of lines one by one and keeps the steps it finds."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._offset = 0
        self._lines = 0
        self._judged = 0
        self._difference = 0.0
        self._sources: deque[_Traits] = deque()
        self._targets: deque[_Traits] = deque()
        self._rarity = _Rarity(), _Rarity()
        self._advantage = dict.fromkeys(range(-MOST_OFFSET, MOST_OFFSET + 1), 0.0)
        self._since = dict.fromkeys(self._advantage, 1)

    def add(self, source: str, target: str) -> None:
        """Reads the next line of each file."""
        self._lines += 1
        traits = self._rarity[0].traits(source), self._rarity[1].traits(target)
        if source and target:
            self._difference += traits[1].log_length - traits[0].log_length
        self._sources.append(traits[0])
        self._targets.append(traits[1])
        # A source line is judged once the target lines on both sides of it are there.
        if len(self._sources) > MOST_OFFSET:
            self._judged += 1
            self._judge(self._sources.popleft())
            if len(self._targets) > 2 * MOST_OFFSET:
                self._targets.popleft()

    def _judge(self, source: _Traits) -> None:
        scores = self._scores(source)
        if self._offset not in scores:
            return
        for offset, score in scores.items():
            if self._advantage[offset] == 0.0:
                self._since[offset] = self._judged
            gained = score - scores[self._offset] - SLACK
            self._advantage[offset] = max(0.0, self._advantage[offset] + gained)
        best = max(self._advantage, key=self._advantage.__getitem__)
        if self._advantage[best] > ADVANTAGE:
            self._offset = best
            self.steps.append(Step(self._since[best], best))
            self._advantage = dict.fromkeys(self._advantage, 0.0)

    def _scores(self, source: _Traits) -> dict[int, float]:
        """How well the source line now judged goes with the targets around it, by offset."""
        usual = self._difference / self._lines
        first = self._lines - len(self._targets) + 1
        return {
            first + index - self._judged: _score(source, target, usual)
            for index, target in enumerate(self._targets)
        }


class _Rarity:
    """How rare a token is so far, by counts of hashes: memory stays as it is."""

    def __init__(self) -> None:
        self._counts = [0] * BUCKETS
        self._lines = 0

    def traits(self, text: str) -> _Traits:
        """The traits of a line, which is counted."""
        self._lines += 1
        tokens = {}
        for token in set(TOKEN.findall(text.lower())):
            bucket = zlib.crc32(token.encode("utf-8", "replace")) % BUCKETS
            self._counts[bucket] += 1
            tokens[token] = math.log(self._lines / self._counts[bucket])
        return _Traits(math.log(len(text) + PADDING), tokens)


def _score(source: _Traits, target: _Traits, usual: float) -> float:
    """From -1 to 1; `usual` is the usual difference of the log lengths."""
    shared = sum(
        min(source.tokens[token], target.tokens[token])
        for token in source.tokens.keys() & target.tokens.keys()
    )
    difference = abs(target.log_length - source.log_length - usual)
    return min(1.0, shared / RAREST) - min(1.0, difference)
