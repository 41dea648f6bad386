"""Cuts words into subwords at random: BPE-dropout and unigram sampling.

SentencePiece samples too, but seeds its generator differently in every process, so a training could
not be resumed exactly. With nothing left to chance, both ways give the ids of SentencePiece. No token
goes over the beginning of a word, which `▁` marks, so each word is cut by itself.
"""

from __future__ import annotations

import functools
import heapq
import math
from bisect import bisect
from collections.abc import Callable
from random import Random
from typing import NamedTuple

# What is subtracted from the lowest score of a token for that of `<unk>`, as in SentencePiece.
UNKNOWN_PENALTY = 10.0
# Words whose ways to cut are remembered, the longest of which are sentences without spaces.
REMEMBERED, LONGEST_REMEMBERED = 1 << 15, 32

CutWord = Callable[[str, Random], list[int]]


class Vocabulary(NamedTuple):
    """The tokens that text is cut into: id and score of each, and the id of what is none of them."""

    ids: dict[str, int]
    scores: dict[str, float]
    unknown: int


def bpe_dropout(vocabulary: Vocabulary, dropped: float) -> CutWord:
    """BPE that leaves out this share of the merges (https://arxiv.org/abs/1910.13267).

    As in SentencePiece, two neighbours that are not merged when it is their turn stay unmerged,
    until one of them is merged with its other neighbour.
    """
    ids, scores, unknown = vocabulary

    def cut(word: str, random: Random) -> list[int]:
        parts: list[str | None] = list(word)
        before, after = list(range(-1, len(word) - 1)), list(range(1, len(word) + 1))
        # The merge with the highest score comes first, and the leftmost of equal ones.
        merges: list[tuple[float, int, int, str]] = []

        def propose(left: int, right: int) -> None:
            if left >= 0 and right < len(parts):
                merged = f"{parts[left]}{parts[right]}"
                score = scores.get(merged)
                if score is not None:
                    heapq.heappush(merges, (-score, left, right, merged))

        for right in range(1, len(word)):
            propose(right - 1, right)
        while merges:
            _, left, right, merged = heapq.heappop(merges)
            is_past = parts[left] is None or parts[right] is None or after[left] != right
            if is_past or len(merged) != len(parts[left] or "") + len(parts[right] or ""):
                continue
            if random.random() < dropped:
                continue
            parts[left], parts[right], after[left] = merged, None, after[right]
            if after[right] < len(parts):
                before[after[right]] = left
            propose(before[left], left)
            propose(left, after[left])
        return [ids.get(part, unknown) for part in parts if part is not None]

    return cut


def unigram_sampling(vocabulary: Vocabulary, power: float) -> CutWord:
    """Draws a way to cut of probability p in proportion to p**power, among all that there are
    (https://arxiv.org/abs/1804.10959)."""
    ids, scores, unknown = vocabulary
    longest = max(map(len, ids), default=1)
    unknown_score = min(scores.values(), default=0.0) - UNKNOWN_PENALTY

    def last_tokens(word: str) -> list[tuple[list[float], list[tuple[int, int]]]]:
        """For each end in the word, the tokens that may end there: their cumulative probabilities,
        and where each starts and its id."""
        # The log of the sum of the weights of all ways to cut what is before a position.
        log_sums, found = [0.0], []
        for end in range(1, len(word) + 1):
            logs, tokens = [], []
            for start in range(max(0, end - longest), end):
                token = word[start:end]
                if token in ids:
                    logs.append(log_sums[start] + power * scores[token])
                    tokens.append((start, ids[token]))
            if not tokens or tokens[-1][0] != end - 1:
                logs.append(log_sums[end - 1] + power * unknown_score)
                tokens.append((end - 1, unknown))
            highest = max(logs)
            sums, total = [], 0.0
            for log in logs:
                total += math.exp(log - highest)
                sums.append(total)
            log_sums.append(highest + math.log(total))
            found.append(([value / total for value in sums], tokens))
        return found

    remembered = functools.lru_cache(REMEMBERED)(last_tokens)

    def cut(word: str, random: Random) -> list[int]:
        ways = remembered(word) if len(word) <= LONGEST_REMEMBERED else last_tokens(word)
        end, reverse = len(word), []
        while end:
            sums, tokens = ways[end - 1]
            # The last sum may be a rounding below 1.
            end, token = tokens[min(bisect(sums, random.random()), len(tokens) - 1)]
            reverse.append(token)
        return reverse[::-1]

    return cut
