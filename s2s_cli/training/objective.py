"""The training objective: token-normalised, label-smoothed, weighted cross-entropy."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from s2s_cli.model.family import Layers

Batch = dict[str, tf.Tensor]
Sums = dict[str, tf.Tensor]


def cross_entropy(layers: Layers, batch: Batch, *, label_smoothing: float) -> Sums:
    """Sums over the tokens of a batch (BATCH_SPEC), all float32 scalars.

    `loss`: Σ weight × ((1 - ε) × -log p(y) + ε × mean over the vocabulary of -log p), the
    smoothing of https://arxiv.org/abs/1512.00567; `nll`: the same without smoothing;
    `correct`: Σ weight where y is the most probable token, the first of them where several
    are; `weight`; `source_tokens` and `target_tokens`, without padding.
    """
    encoded = layers.encode(batch["source_ids"])
    cache = layers.initial_cache(encoded)
    hidden = layers.decode(batch["target_in_ids"], cache, encoded.constants).hidden
    # The output layer is most of a small model: it is not computed for padding.
    present = tf.where(batch["weights"] > 0)
    target, weights = (tf.gather_nd(batch[name], present) for name in ("target_out_ids", "weights"))
    logits = layers.project(tf.gather_nd(hidden, present))
    nll, loss, is_correct = smoothed_loss(logits, target, label_smoothing)
    return {
        "loss": tf.reduce_sum(loss * weights),
        "nll": tf.stop_gradient(tf.reduce_sum(nll * weights)),
        "correct": tf.reduce_sum(tf.where(is_correct, weights, 0.0)),
        "weight": tf.reduce_sum(weights),
        "source_tokens": tf.math.count_nonzero(batch["source_ids"], dtype=tf.float32),
        "target_tokens": tf.math.count_nonzero(batch["target_out_ids"], dtype=tf.float32),
    }


def smoothed_loss(
    logits: tf.Tensor, target: tf.Tensor, label_smoothing: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """logits (N,V), target (N,) → nll, the smoothed loss, whether the target is the first of the
    highest logits, (N,).

    Only the loss has a gradient. The logits are the largest tensor of a small model;
    TensorFlow's own operations read or write them some fifteen times, forwards and backwards,
    and these six times, in the same memory.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def run(logits: tf.Tensor) -> Any:
        vocab_size = tf.cast(tf.shape(logits)[1], tf.float32)
        largest = tf.reduce_max(logits, axis=1)
        chosen = tf.gather(logits, target, axis=1, batch_dims=1)
        is_correct = _is_first_of_the_highest(logits, target, chosen >= largest)
        smoothing = tf.zeros_like(chosen)
        if label_smoothing:
            # -log p = logsumexp - logit, and nll = logsumexp - logit of y.
            smoothing = label_smoothing * (chosen - tf.reduce_mean(logits, axis=1))
        # Nothing reads the logits after this, so the exponentials may take their memory.
        with tf.control_dependencies([largest, chosen, smoothing, is_correct]):
            exponentials = tf.exp(logits - largest[:, None])
        total = tf.reduce_sum(exponentials, axis=1)
        nll = tf.math.log(total) + largest - chosen
        loss = nll + smoothing

        def gradient(_: tf.Tensor, of_loss: tf.Tensor, __: tf.Tensor) -> tf.Tensor:
            of_logits = exponentials * (of_loss / total)[:, None]
            if label_smoothing:
                of_logits -= (label_smoothing / vocab_size * of_loss)[:, None]
            rows = tf.range(tf.shape(target)[0])
            return tf.tensor_scatter_nd_sub(
                of_logits, tf.stack([rows, target], axis=1), (1 - label_smoothing) * of_loss
            )

        return (nll, loss, is_correct), gradient

    return run(logits)  # type: ignore[no-any-return]


def _is_first_of_the_highest(
    logits: tf.Tensor, target: tf.Tensor, is_highest: tf.Tensor
) -> tf.Tensor:
    """Whether no earlier column has the same logit, as the search would choose that one, (N,)."""
    # argmax takes three times as long as the maximum: it is computed for these rows only.
    rows = tf.where(is_highest)
    first = tf.argmax(tf.gather(logits, rows[:, 0]), axis=1, output_type=tf.int32)
    return tf.scatter_nd(rows, first == tf.gather(target, rows[:, 0]), tf.shape(target, tf.int64))
