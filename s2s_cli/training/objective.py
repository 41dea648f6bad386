"""The training objective: token-normalised, label-smoothed, weighted cross-entropy, and what
regularises it."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from s2s_cli.config.schema import ScheduledSampling, SideRates, Training
from s2s_cli.model.dropout import DropoutDraws
from s2s_cli.model.family import Encoded, Layers
from s2s_cli.text.batches import Batch
from s2s_cli.training.input_noise import with_cutoff, with_unknown_words
from s2s_cli.training.losses import kl_divergence, smoothed_loss, symmetric_divergence
from s2s_cli.training.scheduled_sampling import mixed_inputs, predicted_ids, sampling_rate

Sums = dict[str, tf.Tensor]


def cross_entropy(layers: Layers, batch: Batch, *, label_smoothing: float) -> Sums:
    """Sums over the tokens of a batch (BATCH_SPEC), all float32 scalars.

    `loss`: Σ weight × ((1 - ε) × -log p(y) + ε × mean over the vocabulary of -log p), the
    smoothing of https://arxiv.org/abs/1512.00567; `nll`: the same without smoothing;
    `correct`: Σ weight where y is the most probable token, the first of them where several
    are; `weight`; `source_tokens` and `target_tokens`, without padding.
    """
    positions = _Positions.of(batch)
    logits = positions.logits(layers, layers.encode(batch["source_ids"]), batch["target_in_ids"])
    return _sums(batch, positions, logits, label_smoothing)


def training_objective(
    layers: Layers, batch: Batch, training: Training, draws: DropoutDraws
) -> Sums:
    """The sums of `cross_entropy` with what is drawn in training: dropout, tokens that the model
    does not see, tokens that it has predicted itself, and a second forward pass.

    With `training.consistency`, `loss` has the divergence from the second pass too.
    """
    batch = with_unknown_words(batch, training.word_dropout, draws)
    first = with_cutoff(layers.for_training(draws), training.token_cutoff, draws)
    positions = _Positions.of(batch)
    encoded = first.encode(batch["source_ids"])
    if training.scheduled_sampling.rate:
        settings = training.scheduled_sampling
        batch |= {"target_in_ids": _own_inputs(first, encoded, batch, positions, settings, draws)}
    logits = positions.logits(first, encoded, batch["target_in_ids"])
    sums = _sums(batch, positions, logits, training.label_smoothing)
    if training.consistency.method == "none":
        return sums
    second = _second_pass(layers, training, draws.of_next_pass())
    if not training.consistency.share_encoder:
        encoded = second.encode(batch["source_ids"])
    others = positions.logits(second, encoded, batch["target_in_ids"])
    return sums | {"loss": _consistent_loss(sums["loss"], positions, logits, others, training)}


def _second_pass(layers: Layers, training: Training, draws: DropoutDraws) -> Layers:
    """The layers of the second pass of `training.consistency`."""
    cutoff = training.token_cutoff
    if training.consistency.method == "simcut":
        share = training.consistency.cutoff
        cutoff = SideRates(source=share, target=share)
    return with_cutoff(layers.for_training(draws), cutoff, draws)


def _consistent_loss(
    loss: tf.Tensor,
    positions: _Positions,
    logits: tf.Tensor,
    others: tf.Tensor,
    training: Training,
) -> tf.Tensor:
    """The loss of the first pass together with what the logits (N,V) of the second add to it."""
    if training.consistency.method == "simcut":
        divergence = kl_divergence(logits, others)
    else:
        _, second, _ = smoothed_loss(others, positions.target, training.label_smoothing)
        # The mean of both passes, so that the loss and its gradient are as large as those of one.
        loss = (loss + tf.reduce_sum(second * positions.weights)) / 2
        divergence = symmetric_divergence(logits, others) / 2
    return loss + training.consistency.weight * tf.reduce_sum(divergence * positions.weights)


def _own_inputs(
    layers: Layers,
    encoded: Encoded,
    batch: Batch,
    positions: _Positions,
    settings: ScheduledSampling,
    draws: DropoutDraws,
) -> tf.Tensor:
    """What the decoder reads, some of it predicted by these layers, (B,T)."""
    inputs = batch["target_in_ids"]
    logits = tf.stop_gradient(positions.logits(layers, encoded, inputs))
    predicted = predicted_ids(logits, positions.present, tf.shape(inputs), settings.choice, draws)
    return mixed_inputs(inputs, predicted, sampling_rate(settings, draws.step), draws)


class _Positions(NamedTuple):
    """The N positions of a batch that are predicted: those with a weight.

    The output layer is most of a small model: it is not computed for padding.
    """

    present: tf.Tensor  # (N,2) int64
    target: tf.Tensor  # (N,) int32
    weights: tf.Tensor  # (N,) float32

    @classmethod
    def of(cls, batch: Batch) -> _Positions:
        present = tf.where(batch["weights"] > 0)
        names = ("target_out_ids", "weights")
        return cls(present, *(tf.gather_nd(batch[name], present) for name in names))

    def logits(self, layers: Layers, encoded: Encoded, target_in_ids: tf.Tensor) -> tf.Tensor:
        """What the layers predict at these positions, (N,V)."""
        cache = layers.initial_cache(encoded)
        hidden = layers.decode(target_in_ids, cache, encoded.constants).hidden
        return layers.project(tf.gather_nd(hidden, self.present))


def _sums(batch: Batch, positions: _Positions, logits: tf.Tensor, label_smoothing: float) -> Sums:
    weights = positions.weights
    nll, loss, is_correct = smoothed_loss(logits, positions.target, label_smoothing)
    return {
        "loss": tf.reduce_sum(loss * weights),
        "nll": tf.stop_gradient(tf.reduce_sum(nll * weights)),
        "correct": tf.reduce_sum(tf.where(is_correct, weights, 0.0)),
        "weight": tf.reduce_sum(weights),
        "source_tokens": tf.math.count_nonzero(batch["source_ids"], dtype=tf.float32),
        "target_tokens": tf.math.count_nonzero(batch["target_out_ids"], dtype=tf.float32),
    }
