"""Dropout whose draws follow from (seed, step, layer, row of the global batch)."""

import numpy as np
import pytest
import tensorflow as tf
from model_cases import SOURCE, make_model, model_settings, name_of

from s2s_cli.model.dropout import DropoutDraws

# Rows of 8, 24, 16 and 1 values; one count of the generator gives 8 draws.
SHAPES = [(8,), (3, 8), (16,), (1,), (5,), (13,), (3, 7), (7, 1), (2, 3, 5)]


def dropped(
    shape, *, first_row=0, seed=3, step=7, layer="output_dropout", rate=0.3, dtype="float32"
) -> np.ndarray:
    """Which of the values of a tensor of this shape are dropped, bool."""
    draws = DropoutDraws(seed, tf.constant(step, tf.int64), tf.constant(first_row, tf.int64))
    found = draws.dropout(layer, rate)(tf.ones(shape, dtype))
    assert found.dtype == dtype and found.shape == shape
    return tf.cast(found, tf.float32).numpy() == 0


@pytest.mark.parametrize("row", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_rows_draw_in_a_part_of_a_batch_what_they_draw_in_the_whole(row, dtype):
    whole = dropped((9, *row), dtype=dtype)
    for first in range(9):
        for end in (first + 1, 9):
            part = dropped((end - first, *row), first_row=first, dtype=dtype)
            np.testing.assert_array_equal(part, whole[first:end])
    assert dropped((0, *row), first_row=9, dtype=dtype).shape == (0, *row)


@pytest.mark.parametrize("row", SHAPES, ids=str)
def test_every_precision_drops_the_same_values(row):
    expected = dropped((9, *row))
    for dtype in ("bfloat16", "float16", "float64"):
        np.testing.assert_array_equal(dropped((9, *row), dtype=dtype), expected)


@pytest.mark.parametrize(
    "change", [{"seed": 4}, {"step": 8}, {"layer": "source_dropout"}, {"first_row": 1}], ids=str
)
def test_another_seed_step_layer_or_row_draws_other_values(change):
    first, second = dropped((50, 100), rate=0.5), dropped((50, 100), rate=0.5, **change)
    # Independent draws agree for half of the values.
    assert (first == second).mean() == pytest.approx(0.5, abs=0.05)


def test_no_two_rows_of_a_batch_and_of_neighbouring_steps_have_the_same_draws():
    """Nor would rows of the next step continue those of this one."""
    rows = np.concatenate([dropped((40, 64), step=step, rate=0.5) for step in range(5)])
    assert len({row.tobytes() for row in rows}) == len(rows)
    within = rows.reshape(-1, 8)
    assert len({part.tobytes() for part in within}) > 0.9 * 256


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_rate_is_the_share_of_values_that_are_dropped(rate, dtype):
    assert dropped((1000, 999), rate=rate, dtype=dtype).mean() == pytest.approx(rate, abs=2e-3)


def test_what_is_not_dropped_is_scaled_so_that_the_mean_stays():
    draws = DropoutDraws(3, tf.constant(1, tf.int64), tf.constant(0, tf.int64))
    inputs = tf.constant(np.random.default_rng(1).normal(3, 1, (500, 100)), tf.float32)
    found = draws.dropout("any", 0.25)(inputs).numpy()
    present = found != 0
    np.testing.assert_allclose(found[present], inputs.numpy()[present] / 0.75, rtol=1e-6)
    assert found.mean() == pytest.approx(3, abs=0.03)
    unchanged = draws.dropout("any", 0.0)(inputs)
    np.testing.assert_array_equal(unchanged, inputs)


def test_gradients_pass_only_where_values_pass():
    draws = DropoutDraws(3, tf.constant(1, tf.int64), tf.constant(0, tf.int64))
    inputs = tf.ones((4, 10))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = draws.dropout("any", 0.5)(inputs)
    np.testing.assert_array_equal(tape.gradient(outputs, inputs), outputs)


def test_inside_a_graph_the_draws_follow_from_the_values_of_step_and_row():
    @tf.function(autograph=False)
    def run(step, first_row):
        return DropoutDraws(3, step, first_row).dropout("any", 0.3)(tf.ones((4, 13))) == 0

    for step, first_row in ((1, 0), (2, 0), (2, 4), (1 << 40, 1 << 33)):
        found = run(tf.constant(step, tf.int64), tf.constant(first_row, tf.int64))
        expected = dropped((4, 13), step=step, first_row=first_row, layer="any")
        np.testing.assert_array_equal(found, expected)


def test_variational_dropout_draws_once_for_all_positions_of_a_row():
    draws = DropoutDraws(3, tf.constant(7, tf.int64), tf.constant(2, tf.int64))
    drop = draws.dropout("any", 0.3, same_at_all_positions=True)
    found = drop(tf.ones((4, 6, 13))).numpy()
    # What a layer on one vector a row would draw.
    expected = draws.dropout("any", 0.3)(tf.ones((4, 13))).numpy()
    np.testing.assert_array_equal(found, np.repeat(expected[:, None], 6, axis=1))


def test_a_number_of_a_step_is_uniform_and_the_same_for_all_rows():
    def number(*, seed=3, step=7, name="encoder_0", first_row=0) -> float:
        draws = DropoutDraws(seed, tf.constant(step, tf.int64), tf.constant(first_row, tf.int64))
        return float(draws.uniform_scalar(name))

    assert number() == number(first_row=5)
    assert len({number(), number(seed=4), number(step=8), number(name="encoder_1")}) == 4
    found = np.sort([number(step=step) for step in range(1, 401)])
    assert found[0] >= 0 and found[-1] < 1
    # The largest distance between the distribution of these numbers and the uniform one
    # (Kolmogorov and Smirnov): 0.08 in one of a hundred samples.
    assert np.abs(found - np.arange(0.5, 400) / 400).max() < 0.08


def test_every_dropout_of_a_model_has_draws_of_its_own():
    layers = make_model(model_settings(encoder__layers=3, decoder__layers=3, dropout=0.5)).layers
    names = [
        layer.name
        for layer in (
            layers.source_dropout,
            layers.target_dropout,
            *layers.encoder_dropouts,
            *layers.decoder_dropouts,
            layers.output_dropout,
        )
    ]
    assert len(set(names)) == len(names) == 7
    draws = {dropped((20, 50), layer=name, rate=0.5).tobytes() for name in names}
    assert len(draws) == len(names)


@pytest.mark.parametrize(
    "changes",
    [{"dropout": 0.5}, {"dropout": 0.5, "variational_dropout": True}, {"recurrent_dropout": 0.5}],
    ids=name_of,
)
def test_a_model_in_training_encodes_rows_in_parts_as_in_the_whole(changes):
    settings = model_settings(**{"dropout": 0.0, **changes}, encoder__layers=2)
    layers = make_model(settings).layers
    source_ids = tf.constant(np.tile(SOURCE, (3, 1)))

    def memory(first, end):
        draws = DropoutDraws(1, tf.constant(5, tf.int64), tf.constant(first, tf.int64))
        return layers.for_training(draws).encode(source_ids[first:end]).constants["memory"].numpy()

    whole = memory(0, 6)
    np.testing.assert_allclose(np.concatenate([memory(0, 4), memory(4, 6)]), whole, atol=1e-6)
    assert np.abs(whole[:2] - whole[2:4]).max() > 0.01
