"""The loss, its gradient, and what counts as correct."""

import numpy as np
import pytest
import tensorflow as tf
from step_cases import small_batch, small_model

from s2s_cli.training.losses import smoothed_loss
from s2s_cli.training.objective import cross_entropy


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def test_the_sums_are_the_weighted_label_smoothed_cross_entropy():
    seq2seq, batch = small_model(), small_batch()
    sums = cross_entropy(seq2seq.layers.for_training(None), batch, label_smoothing=0.1)
    inputs = {name: batch[name] for name in ("source_ids", "target_in_ids")}
    logs = log_softmax(np.array(seq2seq.training_model(inputs), np.float64))
    target, weights = batch["target_out_ids"].numpy(), batch["weights"].numpy()
    nll = -np.take_along_axis(logs, target[..., None], -1)[..., 0]
    smoothed = 0.9 * nll - 0.1 * logs.mean(axis=-1)
    assert float(sums["nll"]) == pytest.approx((nll * weights).sum(), rel=1e-5)
    assert float(sums["loss"]) == pytest.approx((smoothed * weights).sum(), rel=1e-5)
    correct = logs.argmax(axis=-1) == target
    assert float(sums["correct"]) == pytest.approx((correct * weights).sum())
    assert float(sums["weight"]) == pytest.approx(weights.sum())
    assert float(sums["source_tokens"]) == np.count_nonzero(batch["source_ids"])
    assert float(sums["target_tokens"]) == np.count_nonzero(target)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_the_gradient_of_the_smoothed_loss_is_that_of_its_formula(label_smoothing):
    random = np.random.default_rng(1)
    logits = tf.constant(random.normal(size=(7, 11)) * 3, tf.float32)
    target = tf.constant(random.integers(0, 11, 7), tf.int32)
    weights = tf.constant(random.uniform(0, 2, 7), tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        ours = tf.reduce_sum(smoothed_loss(logits, target, label_smoothing)[1] * weights)
        logs = tf.nn.log_softmax(logits)
        chosen = tf.gather(logs, target, axis=1, batch_dims=1)
        mean = tf.reduce_mean(logs, axis=1)
        formula = -(1 - label_smoothing) * chosen - label_smoothing * mean
        expected = tf.reduce_sum(formula * weights)
    assert float(ours) == pytest.approx(float(expected), rel=1e-6)
    found = tape.gradient(ours, logits).numpy()
    np.testing.assert_allclose(found, tape.gradient(expected, logits), atol=1e-6, rtol=0)
    # The same in NumPy: softmax minus the smoothed target, a row at a time.
    smoothed = np.full((7, 11), label_smoothing / 11)
    smoothed[np.arange(7), target] += 1 - label_smoothing
    by_hand = (np.exp(log_softmax(logits.numpy())) - smoothed) * weights.numpy()[:, None]
    np.testing.assert_allclose(found, by_hand, atol=1e-6, rtol=0)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_the_gradient_of_every_weight_is_that_of_the_formula(label_smoothing):
    seq2seq, batch = small_model(), small_batch()
    inputs = {name: batch[name] for name in ("source_ids", "target_in_ids")}
    variables = [weight.value for weight in seq2seq.weights.values()]

    def formula() -> tf.Tensor:
        logs = tf.nn.log_softmax(seq2seq.training_model(inputs))
        chosen = tf.gather(logs, batch["target_out_ids"], axis=-1, batch_dims=2)
        mean = tf.reduce_mean(logs, axis=-1)
        loss = -(1 - label_smoothing) * chosen - label_smoothing * mean
        return tf.reduce_sum(loss * batch["weights"])

    def ours() -> tf.Tensor:
        layers = seq2seq.layers.for_training(None)
        return cross_entropy(layers, batch, label_smoothing=label_smoothing)["loss"]

    gradients = []
    for loss in (formula, ours):
        with tf.GradientTape() as tape:
            tape.watch(variables)
            value = loss()
        gradients.append(tape.gradient(value, variables))
    for a, b in zip(*gradients, strict=True):
        expected, found = tf.convert_to_tensor(a), tf.convert_to_tensor(b)
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-4)


def test_of_equal_logits_only_the_first_counts_as_correct():
    target = tf.constant([0, 1, 4])
    nll, _, is_correct = smoothed_loss(tf.zeros([3, 5]), target, 0.0)
    assert is_correct.numpy().tolist() == [True, False, False]
    np.testing.assert_allclose(nll, np.log(5), rtol=1e-6)
    logits = tf.constant([[1.0, 3.0, 3.0], [3.0, 1.0, 3.0], [1.0, 2.0, 3.0], [0.0, 2.0, 2.0]])
    is_correct = smoothed_loss(logits, tf.constant([1, 2, 2, 2]), 0.1)[2]
    assert is_correct.numpy().tolist() == [True, False, True, False]


def test_a_model_that_prefers_no_token_has_the_accuracy_of_the_first_one():
    seq2seq, batch = small_model(), small_batch()
    for name in ("kernel", "bias"):
        weight = seq2seq.weights[f"output/{name}"]
        weight.assign(np.zeros(weight.shape))
    sums = cross_entropy(seq2seq.layers.for_training(None), batch, label_smoothing=0.0)
    assert float(sums["correct"]) == 0  # no target of the batch is token 0, which is padding


def test_the_gradient_is_indexed_by_row_and_token_not_by_their_product():
    # Row × vocabulary exceeds int32 at 70,000 rows of 32,000 tokens; one index of two parts does
    # not. Such logits have 9 GB, so that the graph is read instead of run.
    graph = tf.function(
        lambda logits, target: tf.gradients(smoothed_loss(logits, target, 0.1)[1], logits)
    ).get_concrete_function(
        tf.TensorSpec((70_000, 32_000), tf.float32), tf.TensorSpec((70_000,), tf.int32)
    )
    (update,) = (op for op in graph.graph.get_operations() if op.type == "TensorScatterSub")
    assert update.inputs[1].shape == (70_000, 2)
    flattened = [op for op in graph.graph.get_operations() if op.outputs and op.type == "Reshape"]
    assert not [op for op in flattened if op.outputs[0].shape == (70_000 * 32_000,)]


def test_very_large_logits_have_a_finite_loss_and_gradient():
    logits = tf.constant([[1e4, -1e4, 0.0], [-3e38, 3e38, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = smoothed_loss(logits, tf.constant([0, 1]), 0.0)[1]
    assert loss.numpy().tolist() == [0, 0]
    assert np.isfinite(tape.gradient(loss, logits)).all()
