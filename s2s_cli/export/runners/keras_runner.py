"""Searches with encoder.keras and decoder.keras.

Shapes: N sentences, K hypotheses of each (the beam; 1 is greedy search), L target positions, V tokens.
The K rows of a sentence stand together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

PAD, UNK, BOS, EOS = 0, 1, 2, 3


class Beam(NamedTuple):
    """The hypotheses of each sentence, after some positions."""

    ids: np.ndarray  # (N,K,L) int32, padding behind the last
    last: np.ndarray  # (N,K) int32
    length: np.ndarray  # (N,K)
    log_probability: np.ndarray  # (N,K), -inf where there is no hypothesis
    ended: np.ndarray  # (N,K) bool
    values: dict[str, Any]  # what the decoder is given, (N×K,…)


class Runner:
    """The best translation of token ids, by greedy or beam search."""

    def __init__(self, folder: Path, settings: dict[str, Any]):
        self._settings = settings
        # Compiled, which takes a sixth of the time of a call.
        self._encoder, self._decoder = (
            keras.saving.load_model(folder / f"{name}.keras").predict_on_batch
            for name in ("encoder", "decoder")
        )

    def search(self, sources: list[list[int]]) -> list[list[int]]:
        """The ids of the best translation of each source, with `</s>` where it was reached."""
        limits = np.array([self._limit(source) for source in sources])[:, None]
        beam = self._start(sources, int(limits.max()))
        for position in range(beam.ids.shape[2]):
            beam = self._advance(beam, position, limits)
            if beam.ended.all():
                break
        best = np.argmax(self._score(beam.log_probability, beam.length), axis=1)
        winners = zip(beam.ids, best, strict=True)
        return [[int(i) for i in ids[k] if i != PAD] for ids, k in winners]

    def logits(self, source: list[int], target: list[int]) -> np.ndarray:
        """The logits (L+1,V) after each of L target ids, one position after the other."""
        values, found = self._encoder({"source_ids": _tensor([[*source, EOS]])}), []
        for last in [BOS, *target]:
            outputs = self._decoder({"target_in_ids": _tensor([[last]]), **values})
            found.append(np.array(outputs["logits"])[0])
            values.update((name, outputs[name]) for name in values if name in outputs)
        return np.stack(found)

    def _limit(self, source: list[int]) -> int:
        """The most tokens that a translation may have."""
        limit = int(self._settings["max_length_ratio"] * len(source)) + 10
        return min(limit, self._settings["max_length"])

    def _start(self, sources: list[list[int]], longest: int) -> Beam:
        """One empty hypothesis a sentence; the others have probability 0."""
        shape = (len(sources), self._settings["beam_size"])
        encoded = self._encoder({"source_ids": _tensor([[*source, EOS] for source in sources])})
        return Beam(
            ids=np.full((*shape, longest), PAD, np.int32),
            last=np.full(shape, BOS, np.int32),
            length=np.zeros(shape, np.int64),
            log_probability=np.where(np.arange(shape[1]) == 0, 0.0, np.full(shape, -np.inf)),
            ended=np.zeros(shape, bool),
            values={name: keras.ops.repeat(v, shape[1], axis=0) for name, v in encoded.items()},
        )

    def _advance(self, beam: Beam, position: int, limits: np.ndarray) -> Beam:
        """All hypotheses, one position on."""
        count, size = beam.last.shape
        outputs = self._decoder({"target_in_ids": _tensor(beam.last.reshape(-1, 1)), **beam.values})
        logs = self._logs(outputs["logits"], position).reshape(count, size, -1)
        total = beam.log_probability[:, :, None] + logs
        # A hypothesis that has ended goes on as it is.
        total[beam.ended] = -np.inf
        total[beam.ended, PAD] = beam.log_probability[beam.ended]
        rank = self._score(total, (beam.length + ~beam.ended)[:, :, None])
        best = _highest(rank.reshape(count, -1), size)
        parent, last = best // rank.shape[2], best % rank.shape[2]
        log_probability = np.take_along_axis(total.reshape(count, -1), best, axis=1)
        log_probability[_is_repeated(best)] = -np.inf
        ids = np.take_along_axis(beam.ids, parent[:, :, None], axis=1)
        ids[:, :, position] = last
        ended = (last == PAD) | (last == EOS) | np.isneginf(log_probability)
        rows = (parent + size * np.arange(count)[:, None]).reshape(-1)
        return Beam(
            ids=ids,
            last=last.astype(np.int32),
            length=np.take_along_axis(beam.length, parent, axis=1) + (last != PAD),
            log_probability=log_probability,
            ended=ended | (position + 1 >= limits),
            # What the decoder does not return is the same for all hypotheses of a sentence.
            values={
                name: keras.ops.take(outputs[name], rows, axis=0) if name in outputs else value
                for name, value in beam.values.items()
            },
        )

    def _logs(self, logits: Any, position: int) -> np.ndarray:
        """The log probability of each token, -inf where it may not stand at a position."""
        logits = np.array(logits, np.float64)
        best = logits.max(axis=1, keepdims=True)
        logs = logits - best - np.log(np.exp(logits - best).sum(axis=1, keepdims=True))
        logs[:, PAD] = -np.inf
        if position < self._settings["min_length"]:
            logs[:, EOS] = -np.inf
        if self._settings["unknown"] == "suppress":
            logs[:, UNK] = -np.inf
        return logs

    def _score(self, log_probability: np.ndarray, length: np.ndarray) -> np.ndarray:
        """What hypotheses are ranked by: log probability / length**length_penalty."""
        return log_probability / np.maximum(length, 1) ** self._settings["length_penalty"]


def _highest(rank: np.ndarray, count: int) -> np.ndarray:
    """The places of the highest values of each row, best first, of equal ones the earlier."""
    rank, found = rank.copy(), []
    for _ in range(count):
        found.append(np.argmax(rank, axis=1))
        np.put_along_axis(rank, found[-1][:, None], -np.inf, axis=1)
    return np.stack(found, axis=1)


def _is_repeated(places: np.ndarray) -> np.ndarray:
    """Which places of a row are the same as an earlier one, as where nothing else was left."""
    same = places[:, :, None] == places[:, None, :]
    return np.tril(same, -1).any(axis=2)


def _tensor(rows: Any) -> Any:
    """Rows of ids, with padding on the right."""
    longest = max(map(len, rows))
    padded = [[*map(int, row), *[PAD] * (longest - len(row))] for row in rows]
    return keras.ops.convert_to_tensor(padded, "int32")
