"""What is made small: token-normalised, label-smoothed, weighted cross-entropy."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from s2s_cli.model.seq2seq import Seq2Seq

Tensors = dict[str, tf.Tensor]


def cross_entropy(
    seq2seq: Seq2Seq, batch: Tensors, *, label_smoothing: float, training: bool
) -> dict[str, Any]:
    """Sums over the tokens of a batch, all float32 scalars.

    `loss`: Σ weight × ((1 - ε) × -log p(y) + ε × mean over types of -log p), the
    smoothing of https://arxiv.org/abs/1512.00567; `nll`: the same without
    smoothing; `correct`: Σ weight where y is the likeliest type; `weight`.
    """
    inputs = {name: batch[name] for name in ("source_ids", "target_in_ids")}
    logits = seq2seq.training_model(inputs, training=training)
    target, weights = batch["target_out_ids"], batch["weights"]
    nll = tf.nn.sparse_softmax_cross_entropy_with_logits(target, logits)
    loss = nll
    if label_smoothing:
        # -log p = logsumexp - logit, and nll = logsumexp - logit of y, so the
        # mean over types needs no second softmax.
        chosen = tf.gather(logits, target, axis=-1, batch_dims=2)
        loss = nll + label_smoothing * (chosen - tf.reduce_mean(logits, axis=-1))
    correct = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), target)
    return {
        "loss": tf.reduce_sum(loss * weights),
        "nll": tf.reduce_sum(nll * weights),
        "correct": tf.reduce_sum(tf.where(correct, weights, 0.0)),
        "weight": tf.reduce_sum(weights),
    }
