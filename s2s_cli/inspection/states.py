"""The hidden states and attentions of a model for sentences and their translations.

Shapes: B sentences, S source and T target positions (of the longest of each), D model size or
units, A attention heads. Padding is on the right, and the masks say where.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2s_cli.errors import S2SError
from s2s_cli.inspection.observe import observed
from s2s_cli.model.seq2seq import Seq2Seq

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class States:
    """What is computed on the way from tokens to probabilities.

    `hidden` has, for each side, the output of the embedding and of every layer, `layers` + 1 arrays
    (B,S or T,D) in that order: `encoder_embedding`, `encoder_0`, …, `decoder_embedding`,
    `decoder_0`, …. A Transformer that normalises first also has `encoder_norm` and `decoder_norm`:
    the output of the last layer after the final normalisation, which is what is read. `attentions`
    are (B,A,T,S). `source_mask` (B,S) and `target_mask` (B,T) bool are False at padding.
    """

    source_tokens: list[list[str]]
    target_tokens: list[list[str]]
    """What the decoder reads: `<s>` and the translation."""
    hidden: dict[str, FloatArray]
    attentions: dict[str, FloatArray]
    source_mask: NDArray[np.bool_]
    target_mask: NDArray[np.bool_]

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Hidden states, attentions and masks by name."""
        masks = {"source_mask": self.source_mask, "target_mask": self.target_mask}
        return {**self.hidden, **self.attentions, **masks}

    def mask_of(self, name: str) -> NDArray[np.bool_]:
        """The mask of a hidden state. Raises S2SError for a name that there is not."""
        if name not in self.hidden:
            raise S2SError(
                f"There is no hidden state {name!r}.", f"There are {', '.join(self.hidden)}."
            )
        is_source = name.startswith("encoder")
        return self.source_mask if is_source else self.target_mask

    def mean(self, name: str) -> FloatArray:
        """The mean of a hidden state over the tokens of each sentence, without padding, (B,D)."""
        mask = self.mask_of(name)[..., None]
        without_padding = np.where(mask, self.hidden[name], 0.0)
        found: FloatArray = (without_padding.sum(axis=1) / mask.sum(axis=1)).astype(np.float32)
        return found

    def mean_over_padding(self, name: str) -> FloatArray:
        """The plain average over all positions, which counts padding too, (B,D)."""
        self.mask_of(name)
        found: FloatArray = self.hidden[name].mean(axis=1)
        return found

    def save(self, path: Path) -> None:
        """Writes everything as arrays of one .npz file. Raises OSError."""
        arrays: dict[str, Any] = self.arrays | {
            "source_tokens": _table(self.source_tokens),
            "target_tokens": _table(self.target_tokens),
        }
        with open(path, "wb") as file:
            np.savez_compressed(file, **arrays)


def _table(rows: Sequence[Sequence[str]]) -> NDArray[np.str_]:
    longest = max(map(len, rows))
    return np.array([[*row, *[""] * (longest - len(row))] for row in rows])


def states_of(
    seq2seq: Seq2Seq, source_ids: NDArray[np.int32], target_in_ids: NDArray[np.int32]
) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """The hidden states and the attentions for source_ids (B,S) and target_in_ids (B,T), 0 on the
    right, by name."""
    steps: list[dict[str, Any]] = [{}]

    def note(name: str, value: Any) -> None:
        steps[-1][name] = value

    layers = observed(seq2seq.layers, note)
    encoded = layers.encode(tf.constant(source_ids))
    cache = layers.initial_cache(encoded)
    # Position by position where the decoder feeds its output back, as that is a loop inside a graph.
    is_fed = getattr(getattr(seq2seq.layers, "settings", None), "decoder", None)
    size = 1 if getattr(is_fed, "input_feeding", False) else target_in_ids.shape[1]
    attention = []
    for first in range(0, target_in_ids.shape[1], size):
        steps.append({})
        ids = tf.constant(target_in_ids[:, first : first + size])
        decoded = layers.decode(ids, cache, encoded.constants)
        cache = decoded.cache
        if decoded.attention is not None:
            attention.append(decoded.attention)
    found = {name: np.asarray(value, np.float32) for name, value in steps[0].items()}
    for name in steps[1]:
        parts = [np.asarray(step[name], np.float32) for step in steps[1:]]
        found[name] = np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]
    attentions = {name: value for name, value in found.items() if name.endswith("_attention")}
    if attention:
        attentions["attention"] = np.concatenate(attention, axis=1)[:, None]
    hidden = {name: value for name, value in found.items() if name not in attentions}
    return hidden, attentions
