"""What training draws and adds to the loss, against formulas in NumPy and models of Keras."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import MODELS
from step_cases import largest_difference, make_step, small_batch, small_model, weights_of

from s2s_cli.config.schema import ScheduledSampling, SideRates, Training
from s2s_cli.model.dropout import DropoutDraws
from s2s_cli.training.input_noise import with_unknown_words
from s2s_cli.training.losses import kl_divergence, symmetric_divergence
from s2s_cli.training.objective import training_objective
from s2s_cli.training.scheduled_sampling import mixed_inputs, predicted_ids, sampling_rate

SMOOTHING = 0.1


def draws_of(step: int = 3, first_row: int = 0) -> DropoutDraws:
    return DropoutDraws(1, tf.constant(step, tf.int64), tf.constant(first_row, tf.int64))


def log_softmax(logits) -> np.ndarray:
    shifted = np.asarray(logits, np.float64) - np.max(logits, axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def model_logs(seq2seq, batch) -> np.ndarray:
    """The log probabilities (B,T,V) of Keras's training model."""
    return log_softmax(
        seq2seq.training_model({name: batch[name] for name in ("source_ids", "target_in_ids")})
    )


def smoothed_cross_entropy(logs, batch) -> float:
    target, weights = batch["target_out_ids"].numpy(), batch["weights"].numpy()
    chosen = np.take_along_axis(logs, target[..., None], -1)[..., 0]
    loss = -(1 - SMOOTHING) * chosen - SMOOTHING * logs.mean(axis=-1)
    return float((loss * weights).sum())


def divergence(p, q) -> np.ndarray:
    """KL divergences (B,T) of log probabilities (B,T,V)."""
    return (np.exp(p) * (p - q)).sum(axis=-1)


def objective(seq2seq, batch, draws=None, **settings) -> dict[str, float]:
    training = Training(label_smoothing=SMOOTHING, **settings)
    sums = training_objective(seq2seq.layers, batch, training, draws or draws_of())
    return {name: float(value) for name, value in sums.items()}


# Divergences.


@pytest.mark.parametrize("found", [kl_divergence, symmetric_divergence])
def test_a_divergence_and_its_gradients_are_those_of_the_formula(found):
    random = np.random.default_rng(4)
    first, second = (tf.constant(random.normal(size=(6, 9)) * 2, tf.float32) for _ in "ab")
    weights = tf.constant(random.uniform(0, 2, 6), tf.float32)

    def formula(first, second):
        p, q = tf.nn.log_softmax(first), tf.nn.log_softmax(second)
        forward = tf.reduce_sum(tf.exp(p) * (p - q), axis=1)
        if found is kl_divergence:
            return forward
        return (forward + tf.reduce_sum(tf.exp(q) * (q - p), axis=1)) / 2

    gradients = []
    for function in (found, formula):
        with tf.GradientTape() as tape:
            tape.watch([first, second])
            value = function(first, second)
            total = tf.reduce_sum(value * weights)
        gradients.append((value, *tape.gradient(total, [first, second])))
    for ours, expected in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, expected, atol=2e-6, rtol=1e-5)


# Consistency.


def second_model_inputs(batch, share: float, draws: DropoutDraws):
    """The batch with id 1 where the second pass of SimCut has an embedding of zeros."""
    changed = dict(batch)
    for name, table in (("source_ids", "source"), ("target_in_ids", "target")):
        ids = batch[name]
        cut = draws.chosen(f"token_cutoff/{table}_embedding", share, tf.shape(ids)) & (ids != 0)
        changed[name] = tf.where(cut, 1, ids)
    return changed


def with_zero_vector(seq2seq) -> None:
    """Makes the embedding of id 1, which no batch here has, zero on both sides."""
    for layer in (seq2seq.layers.source_embedding, seq2seq.layers.target_embedding):
        values = keras.ops.convert_to_numpy(layer.embeddings).copy()
        values[1] = 0
        layer.embeddings.assign(values)


@pytest.mark.parametrize("architecture", MODELS)
def test_simcut_adds_the_divergence_from_a_pass_without_some_tokens(architecture):
    seq2seq, batch, draws = small_model(architecture=architecture), small_batch(), draws_of()
    with_zero_vector(seq2seq)
    consistency = {"method": "simcut", "weight": 2.5, "cutoff": 0.4}
    found = objective(seq2seq, batch, draws, consistency=consistency)
    cut = second_model_inputs(batch, 0.4, draws.of_next_pass())
    assert (cut["source_ids"].numpy() == 1).any() and (cut["target_in_ids"].numpy() == 1).any()
    first, second = model_logs(seq2seq, batch), model_logs(seq2seq, cut)
    between = (divergence(first, second) * batch["weights"].numpy()).sum()
    assert between > 0.01
    expected = smoothed_cross_entropy(first, batch) + 2.5 * between
    assert found["loss"] == pytest.approx(expected, rel=1e-4)
    plain = objective(seq2seq, batch, draws)
    assert found["nll"] == pytest.approx(plain["nll"], rel=1e-6)
    # With one encoder pass, only target tokens are cut.
    shared = objective(seq2seq, batch, draws, consistency={**consistency, "share_encoder": True})
    target_cut = {**batch, "target_in_ids": cut["target_in_ids"]}
    between = divergence(first, model_logs(seq2seq, target_cut)) * batch["weights"].numpy()
    expected = smoothed_cross_entropy(first, batch) + 2.5 * between.sum()
    assert shared["loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("architecture", MODELS)
def test_r_drop_is_the_mean_of_two_passes_and_half_of_their_divergences(architecture):
    seq2seq, batch = small_model(architecture=architecture, dropout=0.4), small_batch()
    draws = draws_of()
    found = objective(seq2seq, batch, draws, consistency={"method": "r_drop", "weight": 2.5})
    logs = []
    for one in (draws, draws.of_next_pass()):
        layers = seq2seq.layers.for_training(one)
        encoded = layers.encode(batch["source_ids"])
        cache = layers.initial_cache(encoded)
        decoded = layers.decode(batch["target_in_ids"], cache, encoded.constants)
        logs.append(log_softmax(layers.project(decoded.hidden)))
    first, second = logs
    assert np.abs(first - second).max() > 0.01, "both passes have the same dropout"
    between = divergence(first, second) + divergence(second, first)
    between = (between * batch["weights"].numpy()).sum() / 2
    both = sum(smoothed_cross_entropy(one, batch) for one in logs)
    # The loss of the paper, halved.
    assert found["loss"] == pytest.approx((both + 2.5 * between) / 2, rel=1e-4)
    without = small_model(architecture=architecture)
    plain = objective(without, batch)["loss"]
    same = objective(without, batch, consistency={"method": "r_drop", "weight": 2.5})["loss"]
    assert same == pytest.approx(plain, rel=1e-6)


# Tokens that the model does not see.


def test_word_dropout_replaces_its_share_of_the_tokens_by_unknown_ones_and_no_special_one():
    random = np.random.default_rng(1)
    source = random.integers(0, 6, (400, 50)).astype(np.int32)
    batch = {"source_ids": tf.constant(source), "target_in_ids": tf.constant(source)}
    rates = SideRates(source=0.3)
    changed = with_unknown_words(batch, rates, draws_of())
    assert changed["target_in_ids"] is batch["target_in_ids"]
    found = changed["source_ids"].numpy()
    is_token = source >= 4
    np.testing.assert_array_equal(found[~is_token], source[~is_token])
    replaced = found[is_token] != source[is_token]
    assert set(found[is_token][replaced]) == {1}
    deviation = math.sqrt(0.3 * 0.7 / is_token.sum())
    assert abs(replaced.mean() - 0.3) < 4 * deviation
    # Rows of a part are those of the whole, and other steps and passes are others.
    part = {name: value[100:] for name, value in batch.items()}
    later = with_unknown_words(part, rates, draws_of(first_row=100))
    np.testing.assert_array_equal(later["source_ids"], found[100:])
    for other in (draws_of(step=4), draws_of().of_next_pass()):
        assert (with_unknown_words(batch, rates, other)["source_ids"].numpy() != found).any()


@pytest.mark.parametrize("architecture", MODELS)
def test_a_cut_token_has_an_embedding_of_zeros(architecture):
    seq2seq, batch, draws = small_model(architecture=architecture), small_batch(), draws_of()
    with_zero_vector(seq2seq)
    found = objective(seq2seq, batch, draws, token_cutoff={"source": 0.4, "target": 0.4})
    cut = second_model_inputs(batch, 0.4, draws)
    expected = smoothed_cross_entropy(model_logs(seq2seq, cut), batch)
    assert found["loss"] == pytest.approx(expected, rel=1e-4)
    assert found["loss"] != pytest.approx(objective(seq2seq, batch, draws)["loss"], rel=1e-4)


# Scheduled sampling.


@pytest.mark.parametrize(
    ("schedule", "formula"),
    [
        ("constant", lambda steps: 1.0),
        ("linear", lambda steps: min(steps / 50, 1)),
        ("exponential", lambda steps: 1 - math.exp(-steps / 50)),
        ("inverse_sigmoid", lambda steps: 1 - 50 / (50 + math.exp(steps / 50))),
    ],
)
def test_the_share_of_predicted_inputs_follows_its_schedule(schedule, formula):
    settings = ScheduledSampling(rate=0.5, schedule=schedule, start_step=10, steps=50)
    rates = {step: float(sampling_rate(settings, tf.constant(step))) for step in (5, 10, 40, 400)}
    assert rates[5] == rates[10] == 0
    assert rates[40] == pytest.approx(0.5 * formula(30), rel=1e-5)
    assert rates[400] == pytest.approx(0.5 * formula(390), rel=1e-5)


def test_a_sampled_token_is_drawn_by_its_probability():
    rows = 40_000
    logits = tf.tile(tf.math.log([[0.5, 0.1, 0.0, 0.4]]), [rows, 1])
    present = tf.stack([tf.range(rows, dtype=tf.int64), tf.zeros(rows, tf.int64)], axis=1)
    ids = predicted_ids(logits, present, tf.constant([rows, 1]), "sampled", draws_of()).numpy()
    counts = np.bincount(ids[:, 0], minlength=4)
    assert counts[2] == 0
    np.testing.assert_allclose(counts / rows, [0.5, 0.1, 0, 0.4], atol=4 * 0.5 / rows**0.5)


def test_inputs_are_mixed_with_what_was_predicted_at_the_position_before():
    inputs = tf.constant([[2, 5, 6, 7], [2, 8, 0, 0]])
    predicted = tf.constant([[10, 11, 12, 13], [14, 0, 0, 0]])
    mixed = mixed_inputs(inputs, predicted, tf.constant(1.0), draws_of())
    assert mixed.numpy().tolist() == [[2, 10, 11, 12], [2, 14, 0, 0]]
    unchanged = mixed_inputs(inputs, predicted, tf.constant(0.0), draws_of())
    assert unchanged.numpy().tolist() == inputs.numpy().tolist()


@pytest.mark.parametrize("architecture", MODELS)
def test_scheduled_sampling_trains_on_what_the_model_itself_predicts(architecture):
    seq2seq, batch = small_model(architecture=architecture), small_batch()
    settings = {"rate": 1.0, "schedule": "constant"}
    found = objective(seq2seq, batch, scheduled_sampling=settings)
    best = model_logs(seq2seq, batch).argmax(axis=-1)
    inputs = batch["target_in_ids"].numpy()
    own = np.where(inputs == 0, 0, np.concatenate([inputs[:, :1], best[:, :-1]], axis=1))
    expected = smoothed_cross_entropy(
        model_logs(seq2seq, {**batch, "target_in_ids": tf.constant(own)}), batch
    )
    assert found["loss"] == pytest.approx(expected, rel=1e-4)


# Several batches a step.


@pytest.mark.parametrize("architecture", MODELS)
def test_a_step_of_several_batches_is_that_of_one_large_batch(eagerly, architecture):
    optimizer = {"name": "sgd", "learning_rate": 1.0, "clip_norm": 0.05}
    whole = small_batch(8)
    parts = [
        {n: v[rows] for n, v in whole.items()} for rows in (slice(3), slice(3, 7), slice(7, 8))
    ]
    found = []
    for batches, count in (([whole], 1), (parts, 3)):
        seq2seq = small_model(architecture=architecture)
        step = make_step(seq2seq, optimizer=optimizer, batches_per_step=count)
        sums = [step(batches, number, 1.0) for number in (1, 2)]
        found.append((weights_of(seq2seq), sums))
    assert largest_difference(found[0][0], found[1][0]) < 1e-6
    for one, other in zip(found[0][1], found[1][1], strict=True):
        assert other == pytest.approx(one, rel=1e-5)
    # The last batches of an epoch may be fewer; a step that is not finite leaves nothing behind.
    before = weights_of(seq2seq)
    ruined = [parts[0], small_batch(weight=math.inf), parts[1]]
    assert step(ruined, 3, 1.0)["is_finite"] == 0
    assert largest_difference(before, weights_of(seq2seq)) == 0
    for batches, count in (([whole], 1), (parts, 3)):
        seq2seq.load(before)
        again = make_step(seq2seq, optimizer=optimizer) if count == 1 else step
        again(batches[:2] if count == 3 else [{n: v[:7] for n, v in whole.items()}], 4, 1.0)
        found.append(weights_of(seq2seq))
    assert largest_difference(found[-1], found[-2]) < 1e-6


def test_batches_of_one_step_draw_different_dropout(eagerly):
    seq2seq, batch = small_model(dropout=0.5), small_batch()
    both = make_step(seq2seq, batches_per_step=2)([batch, batch], 1, 0.0)["loss"]
    one = make_step(seq2seq)([batch], 1, 0.0)["loss"]
    assert both != pytest.approx(2 * one, rel=1e-4)
