"""What is made small: token-normalised, label-smoothed, weighted cross-entropy."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from s2s_cli.model.seq2seq import Seq2Seq

Tensors = dict[str, tf.Tensor]


def cross_entropy(
    seq2seq: Seq2Seq, batch: Tensors, *, label_smoothing: float, training: bool, parts: int = 1
) -> dict[str, Any]:
    """Sums over the tokens of a batch, all float32 scalars.

    `loss`: Σ weight × ((1 - ε) × -log p(y) + ε × mean over types of -log p), the
    smoothing of https://arxiv.org/abs/1512.00567; `nll`: the same without
    smoothing; `correct`: Σ weight where y is the likeliest type; `weight`.

    Every n-th row makes one of n `parts`, which may be computed side by side: most operations
    of a recurrence are too small to be shared by threads.
    """
    rows = [{name: value[part::parts] for name, value in batch.items()} for part in range(parts)]
    sums = [_of_rows(seq2seq, part, label_smoothing, training) for part in rows]
    return {name: tf.add_n([part[name] for part in sums]) for name in sums[0]}


def _of_rows(
    seq2seq: Seq2Seq, batch: Tensors, label_smoothing: float, training: bool
) -> dict[str, Any]:
    inputs = {name: batch[name] for name in ("source_ids", "target_in_ids")}
    hidden = seq2seq.hidden_model(inputs, training=training)
    # The output layer is most of a small model: it is not spent on padding.
    present = tf.where(batch["weights"] > 0)
    target, weights = (tf.gather_nd(batch[name], present) for name in ("target_out_ids", "weights"))
    logits = seq2seq.layers.project(tf.gather_nd(hidden, present))
    nll, loss, is_best = _smoothed(logits, target, label_smoothing)
    return {
        "loss": tf.reduce_sum(loss * weights),
        "nll": tf.stop_gradient(tf.reduce_sum(nll * weights)),
        "correct": tf.reduce_sum(tf.where(is_best, weights, 0.0)),
        "weight": tf.reduce_sum(weights),
    }


def _smoothed(
    logits: tf.Tensor, target: tf.Tensor, label_smoothing: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """logits (N,V), target (N,) → nll, the smoothed loss, whether no type is likelier, (N,).

    The loss alone has a gradient. The logits are the largest tensor of a small model;
    TensorFlow's own operations pass over them some fifteen times, forwards and
    backwards, and these six times, in the same memory.
    """

    @tf.custom_gradient
    def run(logits: tf.Tensor) -> Any:
        shape = tf.shape(logits)
        largest = tf.reduce_max(logits, axis=1)
        chosen = tf.gather(logits, target, axis=1, batch_dims=1)
        smoothing = tf.zeros_like(chosen)
        if label_smoothing:
            # -log p = logsumexp - logit, and nll = logsumexp - logit of y.
            smoothing = label_smoothing * (chosen - tf.reduce_mean(logits, axis=1))
        # Nobody asks for the logits after that, so what comes next may take their memory.
        with tf.control_dependencies([largest, chosen, smoothing]):
            powers = tf.exp(logits - largest[:, None])
        total = tf.reduce_sum(powers, axis=1)
        nll = tf.math.log(total) + largest - chosen
        loss = nll + smoothing

        def gradient(_: tf.Tensor, of_loss: tf.Tensor, __: tf.Tensor) -> tf.Tensor:
            of_logits = powers * (of_loss / total)[:, None]
            if label_smoothing:
                of_logits -= (label_smoothing / tf.cast(shape[1], tf.float32) * of_loss)[:, None]
            # `tensor_scatter_nd_sub` would copy them all.
            flat = tf.raw_ops.InplaceSub(
                x=tf.reshape(of_logits, [-1]),
                i=tf.range(shape[0]) * shape[1] + target,
                v=(1 - label_smoothing) * of_loss,
            )
            return tf.reshape(flat, shape)

        return (nll, loss, chosen >= largest), gradient

    return run(logits)
