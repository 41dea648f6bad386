"""Losses of logits, with gradients of their own that read the logits less often.

Shapes: N predictions, V tokens.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf


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


def kl_divergence(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """logits (N,V) of two passes → Σ_v p × (log p - log q) of each prediction, (N,) float32.

    p is the softmax of `first`, q that of `second`; both have a gradient.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def run(first: tf.Tensor, second: tf.Tensor) -> Any:
        p, q, ratio = _softmaxes(first, second)
        divergence = tf.reduce_sum(p * ratio, axis=1)

        def gradient(of_divergence: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            outer = of_divergence[:, None]
            return outer * p * (ratio - divergence[:, None]), outer * (q - p)

        return divergence, gradient

    return run(first, second)


def symmetric_divergence(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """logits (N,V) of two passes → half of both KL divergences between them, (N,) float32:
    Σ_v (p - q) × (log p - log q) / 2."""

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def run(first: tf.Tensor, second: tf.Tensor) -> Any:
        p, q, ratio = _softmaxes(first, second)
        forward = tf.reduce_sum(p * ratio, axis=1)
        backward = -tf.reduce_sum(q * ratio, axis=1)

        def gradient(of_divergence: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            half, between = of_divergence[:, None] / 2, p - q
            return (
                half * (p * (ratio - forward[:, None]) + between),
                -half * (q * (ratio + backward[:, None]) + between),
            )

        return (forward + backward) / 2, gradient

    return run(first, second)


def _softmaxes(first: tf.Tensor, second: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """p, q, and log p - log q, (N,V)."""
    log_p, log_q = tf.nn.log_softmax(first), tf.nn.log_softmax(second)
    return tf.exp(log_p), tf.exp(log_q), log_p - log_q
