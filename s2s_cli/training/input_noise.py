"""What training changes in the tokens that the model reads; what it is to predict stays.

Shapes: B sentences, S source and T target positions, E embedding size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import tensorflow as tf

from s2s_cli.config.schema import SideRates
from s2s_cli.model.dropout import DropoutDraws
from s2s_cli.model.family import Layers
from s2s_cli.text.batches import Batch
from s2s_cli.text.tokenizer import PAD, SPECIAL_TOKENS, UNK


def with_unknown_words(batch: Batch, rates: SideRates, draws: DropoutDraws) -> Batch:
    """The batch (BATCH_SPEC) with some ids that the model reads replaced by `<unk>`."""
    inputs = {"source_ids": rates.source, "target_in_ids": rates.target}
    return batch | {
        name: _replaced(batch[name], rate, f"word_dropout/{name}", draws)
        for name, rate in inputs.items()
        if rate
    }


def _replaced(ids: tf.Tensor, rate: float, name: str, draws: DropoutDraws) -> tf.Tensor:
    is_chosen = draws.chosen(name, rate, tf.shape(ids)) & (ids >= SPECIAL_TOKENS)
    return tf.where(is_chosen, UNK, ids)


def with_cutoff(layers: Layers, rates: SideRates, draws: DropoutDraws) -> Layers:
    """The layers with embeddings (B,S,E) and (B,T,E) that are zero at some tokens."""
    tables = {"source_embedding": rates.source, "target_embedding": rates.target}
    changed = {
        name: _cut(getattr(layers, name), rate, f"token_cutoff/{name}", draws)
        for name, rate in tables.items()
        if rate
    }
    return replace(layers, **changed) if changed else layers  # type: ignore[type-var]


def _cut(
    embedding: Callable[[Any], Any], rate: float, name: str, draws: DropoutDraws
) -> Callable[[Any], Any]:
    def run(ids: tf.Tensor) -> tf.Tensor:
        is_chosen = draws.chosen(name, rate, tf.shape(ids)) & (ids != PAD)
        vectors = embedding(ids)
        return tf.where(is_chosen[..., None], tf.zeros([], vectors.dtype), vectors)

    return run
