"""One training step: on one device, in sub-batches, and on two devices."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from conftest import MODELS
from step_cases import largest_difference, make_step, small_batch, small_model, weights_of

from s2s_cli.training.step import ValidationLoss, total_means

DROPOUTS = [
    {"dropout": 0.5},
    {"dropout": 0.5, "variational_dropout": True, "recurrent_dropout": 0.3},
    {
        "dropout": 0.5,
        "recurrent_dropout": 0.3,
        "decoder__layers": 2,
        "decoder__input_feeding": True,
    },
    {"architecture": "transformer", "dropout": 0.5},
    {"architecture": "transformer", "attention_dropout": 0.5, "activation_dropout": 0.3},
    {"architecture": "transformer", "dropout": 0.3, "layer_drop": 0.5},
]


def slots(step) -> dict[str, bytes]:
    """The optimizer's variables, but for the learning rate, which is set at each call."""
    variables = step.optimizer_variables()
    return {n: v.numpy().tobytes() for n, v in variables.items() if n != "learning_rate"}


@pytest.mark.parametrize("architecture", MODELS)
def test_one_step_changes_the_encoder_and_the_decoder_with_nothing_copied(eagerly, architecture):
    seq2seq, batch = small_model(architecture=architecture), small_batch()
    source_ids, last_ids = batch["source_ids"], batch["target_in_ids"][:, :1]
    inputs = {"source_ids": source_ids}
    fixed = seq2seq.encoder(inputs)

    def outputs():
        # The decoder gets the same inputs before and after: only its weights can differ.
        decoded = seq2seq.decoder({"target_in_ids": last_ids, **fixed})
        encoded = seq2seq.encoder(inputs)
        floats = [np.array(value).ravel() for value in encoded.values() if value.dtype.is_floating]
        return np.concatenate(floats), np.array(decoded["logits"])

    before = outputs()
    make_step(seq2seq)([batch], 1, 0.01)
    after = outputs()
    assert not np.allclose(before[0], after[0]) and not np.allclose(before[1], after[1])


def test_the_gradient_is_clipped_by_its_global_norm(eagerly):
    moved = {}
    for clip_norm in (None, 1e-3):
        seq2seq = small_model()
        before = weights_of(seq2seq)
        optimizer = {"name": "sgd", "learning_rate": 1.0, "clip_norm": clip_norm}
        make_step(seq2seq, optimizer=optimizer)([small_batch()], 1, 1.0)
        after = weights_of(seq2seq)
        moved[clip_norm] = math.sqrt(sum(((before[n] - after[n]) ** 2).sum() for n in before))
    assert moved[None] > 0.1
    assert moved[1e-3] == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", MODELS)
def test_the_compiled_step_moves_the_weights_as_the_eager_one_and_skips_what_is_not_finite(
    architecture,
):
    changes = {"optimizer": {"name": "adam", "clip_norm": 1.0}}
    found = []
    for is_eager in (True, False):
        tf.config.run_functions_eagerly(is_eager)
        seq2seq = small_model(architecture=architecture, dropout=0.3)
        step = make_step(seq2seq, **changes)
        for number in (1, 2, 3):
            assert step([small_batch()], number, 0.01)["is_finite"] == 1
        found.append(weights_of(seq2seq))
    assert largest_difference(*found) < {"lstm": 1e-6, "transformer": 1e-5}[architecture]
    # The last step is the compiled one.
    before = weights_of(seq2seq), slots(step)
    assert step([small_batch(weight=math.inf)], 4, 0.01)["is_finite"] == 0
    assert largest_difference(before[0], weights_of(seq2seq)) == 0 and before[1] == slots(step)
    assert step([small_batch()], 5, 0.01)["is_finite"] == 1
    assert largest_difference(before[0], weights_of(seq2seq)) > 1e-4
    # Fewer rows than sub-batches, and more.
    for rows in (3, 1, 2, 8):
        batch = {name: value[:rows] for name, value in small_batch(8).items()}
        assert step([batch], 6, 0.01)["is_finite"] == 1


def test_a_batch_of_weight_zero_changes_nothing_by_its_gradient(eagerly):
    seq2seq = small_model()
    before = weights_of(seq2seq)
    step = make_step(seq2seq, optimizer={"name": "sgd", "clip_norm": 1.0})
    sums = step([small_batch(weight=0.0)], 1, 0.01)
    assert sums["is_finite"] == 1 and sums["loss"] == 0
    assert largest_difference(before, weights_of(seq2seq)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("changes", DROPOUTS, ids=str)
def test_dropout_depends_on_seed_step_and_row_alone(eagerly, changes):
    steps = {seed: make_step(small_model(**changes), seed=seed) for seed in (1, 2)}

    def loss(seed: int, number: int) -> float:
        return steps[seed]([small_batch()], number, 0.0)["loss"]  # at this rate, no weight moves

    found = [loss(1, 7), loss(1, 8), loss(2, 7), loss(1, 7)]
    assert found[0] == found[3] and len(set(found)) == 3


@pytest.mark.slow
@pytest.mark.parametrize("changes", DROPOUTS, ids=str)
def test_sub_batches_draw_the_dropout_of_the_whole_batch_and_take_its_step(eagerly, changes):
    rows, moved, losses = 5, [], []
    for sub_batches in (1, 2, 3):
        seq2seq = small_model(**changes)
        # With this optimizer, weights differ by the gradients.
        optimizer = {"name": "sgd", "learning_rate": 1.0, "clip_norm": None}
        step = make_step(seq2seq, sub_batches=sub_batches, optimizer=optimizer)
        losses.append([step([small_batch(rows)], number, 0.1)["loss"] for number in (1, 2)])
        moved.append(weights_of(seq2seq))
    differences = [largest_difference(moved[0], other) for other in moved[1:]]
    print(f"largest difference between sub-batches of {rows} rows: {max(differences):.1e}")
    assert max(differences) < 1e-6
    np.testing.assert_allclose(losses, [losses[0]] * 3, rtol=1e-6)
    # It is dropout that these agree on.
    unchanged = small_model(architecture=changes.get("architecture", "lstm"))
    without = make_step(unchanged, optimizer={"name": "sgd", "clip_norm": None})
    assert abs(without([small_batch(rows)], 1, 0.1)["loss"] - losses[0][0]) > 1e-3


@pytest.mark.parametrize("architecture", MODELS)
def test_the_validation_loss_is_that_of_all_batches_together_without_dropout(eagerly, architecture):
    seq2seq = small_model(architecture=architecture, dropout=0.5)
    batch = small_batch(8)
    parts = [{n: v[rows] for n, v in batch.items()} for rows in (slice(3), slice(3, 8))]
    validate = ValidationLoss(seq2seq)
    whole, found = (total_means(validate(some, seq2seq.weights)) for some in ([batch], parts))
    assert found == pytest.approx(whole, rel=1e-6)
    assert found["perplexity"] == pytest.approx(math.exp(found["loss"]))
    without = small_model(architecture=architecture)
    unchanged = total_means(ValidationLoss(without)([batch], without.weights))
    assert unchanged == pytest.approx(whole, rel=1e-6)


TWO_DEVICES = """
import sys
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import step_cases as cases
from s2s_cli.config.schema import Training
from s2s_cli.training.step import TrainingStep

def copies(strategy, variable):
    return [value.numpy() for value in strategy.experimental_local_results(variable.value)]

def state(strategy, step, seq2seq):
    variables = {**seq2seq.weights, **step.optimizer_variables()}
    averages = {f"average of {path}": value for path, value in step.moving_averages.items()}
    del variables["learning_rate"]
    variables.update(averages)
    return {name: copies(strategy, variable) for name, variable in variables.items()}

adam = {"name": "adam", "learning_rate": 0.01, "clip_norm": 0.05}
# One family takes two passes over one batch, the other one pass over two batches.
count, consistency = {"lstm": (1, "r_drop"), "transformer": (2, "none")}[sys.argv[1]]
training = Training(
    optimizer=adam,
    label_smoothing=0.1,
    word_dropout={"source": 0.2},
    consistency={"method": consistency},
    averaging={"method": "ema", "decay": 0.5},
    batches_per_step=count,
)
mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert mirrored.num_replicas_in_sync == 2
found = []
for strategy in (tf.distribute.get_strategy(), mirrored):
    with strategy.scope():
        seq2seq = cases.small_model(architecture=sys.argv[1], dropout=0.5)
        step = TrainingStep(seq2seq, training, strategy)
    sums = [step([cases.small_batch()] * count, number, 0.01) for number in (1, 2, 3, 4)]
    averages = {path: value.numpy() for path, value in step.moving_averages.items()}
    found.append((cases.weights_of(seq2seq), sums, averages))
print("difference", max(cases.largest_difference(found[0][i], found[1][i]) for i in (0, 2)))
for one, two in zip(found[0][1], found[1][1]):
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=1e-5)

before = state(mirrored, step, seq2seq)
for name, (one, two) in before.items():
    np.testing.assert_array_equal(one, two, err_msg=name)
# Only the rows of one replica are not finite.
ruined = cases.small_batch()
weights = ruined["weights"].numpy()
weights[0, 0] = np.inf
ruined["weights"] = tf.constant(weights)
assert step([ruined], 5, 0.01)["is_finite"] == 0
after = state(mirrored, step, seq2seq)
for name in before:
    np.testing.assert_array_equal(before[name], after[name], err_msg=name)
assert step([cases.small_batch()], 6, 0.01)["is_finite"] == 1
changed = state(mirrored, step, seq2seq)
assert all((one == two).all() for one, two in changed.values())
assert not np.array_equal(before["output/kernel"], changed["output/kernel"])
# One row more than a replica has, and fewer rows than replicas.
for rows in (3, 1):
    batch = {name: value[:rows] for name, value in cases.small_batch().items()}
    assert step([batch], 7, 0.01)["is_finite"] == 1, rows
print("done")
"""


@pytest.mark.slow
@pytest.mark.parametrize("architecture", MODELS)
def test_two_devices_take_the_step_of_one_with_dropout_and_both_skip_what_is_not_finite(
    architecture,
):
    here = Path(__file__).parent
    paths = [here, here.parent / "model", here.parents[1]]
    environment = {"PYTHONPATH": os.pathsep.join(map(str, paths)), "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES, architecture],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert process.stdout.strip().endswith("done"), process.stderr[-3000:]
    difference = float(process.stdout.split()[1])
    print(f"largest difference between one device and two: {difference:.1e}")
    assert difference < 1e-6
