import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import train_in_process, write_config

from s2s_cli.errors import ConfigError, RunError
from s2s_cli.events import CheckpointDue, Finished, ModelReady, Progress, StepDone, Validated
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.run import Run
from s2s_cli.schema import Model, Training
from s2s_cli.text.batches import Batch
from s2s_cli.training.objective import cross_entropy
from s2s_cli.training.schedules import learning_rate
from s2s_cli.training.step import TrainingStep

TYPES = 13


def small_model(**changes) -> Seq2Seq:
    keras.utils.set_random_seed(5)
    config = Model(
        embedding={"size": 6, "initializer": "random_normal"},
        encoder={"units": 4},
        decoder={"units": 8},
        **{"dropout": 0.0, **changes},
    )
    return Seq2Seq(config, TYPES, TYPES)


def small_batch(rows=5) -> Batch:
    random = np.random.default_rng(2)
    source = random.integers(4, TYPES, (rows, 5), np.int32)
    target = random.integers(4, TYPES, (rows, 4), np.int32)
    source[1:3, 3:], target[1:3, 2:] = 0, 0
    target_in = np.pad(target, ((0, 0), (1, 0)), constant_values=2)[:, :-1]
    weights = (target != 0) * np.array([1, 2, 1, 0.5, 1])[:rows, None]
    return Batch(source, target_in, target, weights.astype(np.float32))


def weights_of(seq2seq) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(w) for w in seq2seq.training_model.trainable_weights]


def tensors(batch):
    return {name: tf.constant(array) for name, array in batch.arrays().items()}


def test_the_loss_is_the_weighted_label_smoothed_cross_entropy():
    seq2seq, batch = small_model(), small_batch()
    sums = cross_entropy(seq2seq, tensors(batch), label_smoothing=0.1, training=False)
    inputs = {"source_ids": batch.source_ids, "target_in_ids": batch.target_in_ids}
    logits = np.array(seq2seq.training_model(inputs), np.float64)
    logs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    nll = -np.take_along_axis(logs, batch.target_out_ids[..., None], -1)[..., 0]
    smoothed = 0.9 * nll - 0.1 * logs.mean(axis=-1)
    correct = logs.argmax(axis=-1) == batch.target_out_ids
    assert float(sums["nll"]) == pytest.approx((nll * batch.weights).sum(), rel=1e-5)
    assert float(sums["loss"]) == pytest.approx((smoothed * batch.weights).sum(), rel=1e-5)
    assert float(sums["correct"]) == pytest.approx((correct * batch.weights).sum())
    assert float(sums["weight"]) == pytest.approx(batch.weights.sum())


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_the_gradient_of_the_loss_is_that_of_its_formula(label_smoothing):
    seq2seq, batch = small_model(), tensors(small_batch())
    inputs = {name: batch[name] for name in ("source_ids", "target_in_ids")}
    variables = [variable.value for variable in seq2seq.training_model.trainable_variables]

    def formula():
        logs = tf.nn.log_softmax(seq2seq.training_model(inputs))
        chosen = tf.gather(logs, batch["target_out_ids"], axis=-1, batch_dims=2)
        smooth = tf.reduce_mean(logs, axis=-1)
        loss = -(1 - label_smoothing) * chosen - label_smoothing * smooth
        return tf.reduce_sum(loss * batch["weights"])

    def ours():
        return cross_entropy(seq2seq, batch, label_smoothing=label_smoothing, training=False)[
            "loss"
        ]

    gradients = []
    for loss in (formula, ours):
        with tf.GradientTape() as tape:
            tape.watch(variables)
            value = loss()
        gradients.append(tape.gradient(value, variables))
    for a, b in zip(*gradients, strict=True):
        expected, found = tf.convert_to_tensor(a), tf.convert_to_tensor(b)
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-4)


def test_one_training_step_changes_the_encoder_and_the_decoder_with_nothing_copied():
    seq2seq, batch = small_model(), small_batch()

    def answers():
        encoded = seq2seq.encoder({"source_ids": source_ids})
        # The decoder gets the same inputs before and after: only its weights can differ.
        outputs = seq2seq.decoder({"target_in_ids": last_ids, **fixed})
        return np.array(encoded["memory"]), np.array(outputs["logits"])

    source_ids, last_ids = tf.constant(batch.source_ids), tf.constant(batch.target_in_ids[:, :1])
    fixed = seq2seq.encoder({"source_ids": source_ids})
    before = answers()
    TrainingStep(seq2seq, Training(), tf.distribute.get_strategy())(batch, 1, 0.01)
    after = answers()
    assert not np.allclose(before[0], after[0]) and not np.allclose(before[1], after[1])


def test_the_gradient_is_clipped_by_its_global_norm():
    moved = {}
    for clip_norm in (None, 1e-3):
        seq2seq = small_model()
        before = weights_of(seq2seq)
        optimizer = {"name": "sgd", "learning_rate": 1.0, "clip_norm": clip_norm}
        step = TrainingStep(seq2seq, Training(optimizer=optimizer), tf.distribute.get_strategy())
        step(small_batch(), 1, 1.0)
        pairs = zip(before, weights_of(seq2seq), strict=True)
        moved[clip_norm] = math.sqrt(sum(((b - a) ** 2).sum() for a, b in pairs))
    assert moved[None] > 0.1
    assert moved[1e-3] == pytest.approx(1e-3, rel=1e-2)


def test_the_compiled_update_moves_the_weights_as_the_plain_one_does(monkeypatch):
    moved = []
    for compiles in (True, False):
        keras.utils.set_random_seed(5)
        seq2seq = small_model()
        step = TrainingStep(seq2seq, Training(), tf.distribute.get_strategy())
        if not compiles:
            step._update = step._clip_and_apply
        for number in (1, 2, 3):
            step(small_batch(), number, 0.01)
        moved.append(weights_of(seq2seq))
    for a, b in zip(*moved, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_a_step_whose_loss_is_not_finite_is_not_taken(clip_norm):
    seq2seq, batch = small_model(), small_batch()
    optimizer = {"name": "adam", "clip_norm": clip_norm}
    step = TrainingStep(seq2seq, Training(optimizer=optimizer), tf.distribute.get_strategy())
    assert step(batch, 1, 0.01)["is_finite"] == 1
    before = weights_of(seq2seq), [v.numpy().tobytes() for v in step.optimizer.variables[2:]]
    ruined = Batch(
        batch.source_ids,
        batch.target_in_ids,
        batch.target_out_ids,
        np.full_like(batch.weights, np.inf),
    )
    assert step(ruined, 2, 0.01)["is_finite"] == 0
    after = weights_of(seq2seq), [v.numpy().tobytes() for v in step.optimizer.variables[2:]]
    assert all(map(np.array_equal, before[0], after[0])) and before[1] == after[1]
    assert step(batch, 3, 0.01)["is_finite"] == 1
    assert not all(map(np.array_equal, before[0], weights_of(seq2seq)))


def test_dropout_depends_on_seed_and_step_alone():
    def loss(seed, step):
        take_step = TrainingStep(
            small_model(dropout=0.5), Training(seed=seed), tf.distribute.get_strategy()
        )
        return take_step(small_batch(), step, 0.01)["loss"]

    assert loss(1, 7) == loss(1, 7)
    assert loss(1, 7) != loss(1, 8) and loss(1, 7) != loss(2, 7)


TWO_DEVICES = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import test_training as t
training = t.Training(optimizer={"name": "adam", "learning_rate": 0.01, "clip_norm": 0.05})
found = []
for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    with strategy.scope():
        seq2seq = t.small_model()
        take_step = t.TrainingStep(seq2seq, training, strategy)
    sums = [take_step(t.small_batch(), step, 0.01) for step in (1, 2, 3, 4)]
    found.append((t.weights_of(seq2seq), sums))
assert strategy.num_replicas_in_sync == 2
for one, two in zip(found[0][0], found[1][0]):
    np.testing.assert_allclose(one, two, atol=1e-5, rtol=0)
for one, two in zip(found[0][1], found[1][1]):
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=1e-5)
print("equal")
"""


def test_two_devices_get_the_weights_of_one_with_the_same_global_batch():
    process = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES, str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "S2S_TESTS_LEAVE_TENSORFLOW_ALONE": "1"},
    )
    assert process.stdout.strip().endswith("equal"), process.stderr[-2000:]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({"name": "constant"}, {1: 1.0, 50: 1.0}),
        ({"name": "constant", "warmup_steps": 4}, {1: 0.25, 4: 1.0, 9: 1.0}),
        ({"name": "inverse_sqrt", "warmup_steps": 4}, {2: 0.5, 4: 1.0, 16: 0.5}),
        ({"name": "cosine", "decay_steps": 100, "minimum": 0.2}, {50: 0.6, 100: 0.2, 500: 0.2}),
        ({"name": "plateau"}, {3: 0.25}),
    ],
)
def test_schedules(schedule, expected):
    training = Training(schedule=schedule, optimizer={"learning_rate": 1.0})
    for step, rate in expected.items():
        assert learning_rate(training, step, plateau_scale=0.25) == pytest.approx(rate)


@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop", "sgd"])
def test_optimizers_go_by_their_keras_names_and_take_arguments(name):
    from s2s_cli.training.step import make_optimizer

    arguments = {"momentum": 0.9} if name in ("sgd", "rmsprop") else {"beta_1": 0.8}
    optimizer = make_optimizer(Training(optimizer={"name": name, "arguments": arguments}))
    key, value = next(iter(arguments.items()))
    assert type(optimizer).__name__.lower() == name and getattr(optimizer, key) == value


def final_weights(run: Path) -> dict[str, bytes]:
    checkpoint = Run(run).find_checkpoint("latest")
    with np.load(checkpoint / "optimizer.npz") as optimizer:
        found = {name: optimizer[name].tobytes() for name in optimizer}
    model = {}
    with h5py.File(checkpoint / "model.weights.h5") as file:
        file.visititems(
            lambda name, node: (
                model.update({name: node[()].tobytes()})
                if isinstance(node, h5py.Dataset) and "seed_generator" not in name
                else None
            )
        )
    return {**found, **model}


def test_a_training_stopped_at_any_step_and_started_again_ends_with_the_same_weights(
    tmp_path, settings
):
    config = write_config(tmp_path / "c.yaml", settings)
    train_in_process(config, tmp_path / "whole")
    events = train_in_process(config, tmp_path / "parts", stop_after=5)
    assert events[-1].interrupted and events[-1].step == 5
    events = train_in_process(config, tmp_path / "parts")
    (ready,) = (event for event in events if isinstance(event, ModelReady))
    assert ready.step == 5
    assert events[-1] == Finished(12, "12 steps are done", False, events[-1].seconds)
    assert final_weights(tmp_path / "whole") == final_weights(tmp_path / "parts")


def test_raising_a_limit_goes_on_and_ends_where_a_longer_training_does(tmp_path, settings):
    config = write_config(tmp_path / "c.yaml", settings)
    train_in_process(config, tmp_path / "longer", "training.max_steps=15")
    train_in_process(config, tmp_path / "raised", "training.max_steps=9")
    events = train_in_process(config, tmp_path / "raised", "training.max_steps=15")
    (ready,) = (event for event in events if isinstance(event, ModelReady))
    assert ready.step == 9 and ready.changes == ("training.max_steps: 9 → 15",)
    assert final_weights(tmp_path / "longer") == final_weights(tmp_path / "raised")


def test_metrics_are_cut_back_to_where_training_goes_on(tmp_path, settings):
    config = write_config(tmp_path / "c.yaml", settings)
    train_in_process(config, tmp_path / "run")
    run = Run(tmp_path / "run")
    lines = run.metrics_file.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [3, 6, 6, 9, 12, 12]
    shutil.rmtree(run.checkpoint(12))
    run.point("latest", run.checkpoint(8))
    train_in_process(config, tmp_path / "run")
    steps = [json.loads(line)["step"] for line in run.metrics_file.read_text().splitlines()]
    assert steps == [3, 6, 6, 9, 12, 12]


def test_the_events_of_a_training_come_in_order(tmp_path, settings):
    config = write_config(tmp_path / "c.yaml", settings)
    events = train_in_process(config, tmp_path / "run")
    kinds = (Progress, Validated, CheckpointDue, Finished)
    told = [(type(e).__name__, e.step) for e in events if isinstance(e, kinds)]
    best = {e.step for e in events if isinstance(e, Validated) and e.is_best}
    expected = [("Progress", 3), ("CheckpointDue", 4), ("Progress", 6), ("Validated", 6)]
    expected += [("CheckpointDue", 6)] * (6 in best) + [("CheckpointDue", 8), ("Progress", 9)]
    expected += [("Progress", 12), ("Validated", 12), ("CheckpointDue", 12)]
    assert told[: len(expected)] == expected
    assert sum(isinstance(event, StepDone) for event in events) == 12
    validated = next(event for event in events if isinstance(event, Validated))
    assert set(validated.result.metrics) == {
        "loss", "perplexity", "token_accuracy", "bleu", "chrf",
    }  # fmt: skip
    assert validated.result.signatures["bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:13a")
    assert len(validated.result.samples) == 3


def test_only_the_latest_checkpoints_and_the_best_are_kept(tmp_path, settings):
    settings["training"].update(checkpoint_steps=2, keep_checkpoints=2)
    config = write_config(tmp_path / "c.yaml", settings)
    train_in_process(config, tmp_path / "run")
    run = Run(tmp_path / "run")
    names = {path.name for path in run.checkpoints()}
    assert names == {"step-00000010", "step-00000012", run.find_checkpoint("best").name}
    assert not list((tmp_path / "run" / "checkpoints").glob(".*"))


def test_training_stops_early_when_nothing_gets_better(tmp_path, settings):
    settings["training"].update(
        max_steps=50,
        validation_steps=2,
        optimizer={"name": "sgd", "learning_rate": 1e-12},
        early_stopping={"metric": "token_accuracy", "patience": 3},
    )
    events = train_in_process(write_config(tmp_path / "c.yaml", settings), tmp_path / "run")
    assert (events[-1].step, events[-1].reason) == (
        8,
        "3 validations brought no better token_accuracy",
    )


def test_between_validations_of_equal_score_the_lower_loss_is_better(tmp_path, settings):
    # BLEU stays at 0 for a model that has learned nothing yet, and for some scripts for ever.
    settings["training"].update(
        max_steps=8,
        validation_steps=2,
        optimizer={"name": "sgd", "learning_rate": 0.1},
        early_stopping={"metric": "bleu", "patience": 2},
    )
    events = train_in_process(write_config(tmp_path / "c.yaml", settings), tmp_path / "run")
    validated = [event for event in events if isinstance(event, Validated)]
    assert {event.result.metrics["bleu"] for event in validated} == {0.0}
    losses = [event.result.metrics["loss"] for event in validated]
    assert losses == sorted(losses, reverse=True) and all(event.is_best for event in validated)


def test_a_longer_training_keeps_the_curve_that_it_began_with(tmp_path, settings):
    settings["training"]["schedule"] = {"name": "cosine", "minimum": 0.1}
    config = write_config(tmp_path / "c.yaml", settings)
    train_in_process(config, tmp_path / "run")
    events = train_in_process(config, tmp_path / "run", "training.max_steps=15")
    (progress,) = (event for event in events if isinstance(event, Progress))
    assert progress.step == 15 and progress.learning_rate == pytest.approx(0.1 * 0.01)


def test_an_interrupted_training_whose_limit_is_lowered_is_scored_and_saved(tmp_path, settings):
    config = write_config(tmp_path / "c.yaml", settings)
    train_in_process(config, tmp_path / "run", stop_after=3)
    events = train_in_process(config, tmp_path / "run", "training.max_steps=2")
    assert [type(event) for event in events[-3:]] == [Validated, CheckpointDue, Finished]
    assert Run(tmp_path / "run").find_checkpoint("best").name == "step-00000003"


def test_training_goes_on_from_the_last_checkpoint_where_the_pointer_is_lost(tmp_path, settings):
    config = write_config(tmp_path / "c.yaml", settings)
    train_in_process(config, tmp_path / "run", "training.max_steps=5")
    (tmp_path / "run" / "checkpoints" / "latest").unlink()
    events = train_in_process(config, tmp_path / "run")
    assert next(event.step for event in events if isinstance(event, ModelReady)) == 5


def test_tensorboard_without_its_package_names_the_install_command(tmp_path, settings, monkeypatch):
    settings["training"]["tensorboard"] = True
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        train_in_process(write_config(tmp_path / "c.yaml", settings), tmp_path / "run")
    assert 'pip install "s2s[tensorboard]"' in caught.value.hint


def test_minutes_are_a_limit(tmp_path, settings):
    settings["training"].update(max_steps=None, max_minutes=1e-6)
    events = train_in_process(write_config(tmp_path / "c.yaml", settings), tmp_path / "run")
    assert events[-1].reason == "1e-06 minutes are over"


def test_a_run_of_another_config_is_refused_with_what_differs(trained, corpus, tmp_path, settings):
    settings["model"]["decoder"]["units"] = 16
    settings["training"]["seed"] = 2
    config = write_config(tmp_path / "c.yaml", settings)
    with pytest.raises(RunError) as caught:
        train_in_process(config, trained)
    assert "model.decoder.units: 24 → 16" in caught.value.message
    assert "training.seed: 1 → 2" in caught.value.message


def test_a_moved_corpus_is_no_change_and_another_content_is(corpus, tmp_path, settings):
    moved = tmp_path / "moved"
    shutil.copytree(corpus, moved)
    train_in_process(
        write_config(tmp_path / "c.yaml", settings), tmp_path / "run", "training.max_steps=2"
    )
    files = settings["data"]["train"]
    files.update(source=str(moved / "train.digits"), target=str(moved / "train.words"))
    config = write_config(tmp_path / "c.yaml", settings)
    events = train_in_process(config, tmp_path / "run", "training.max_steps=3")
    assert events[-1].step == 3
    with open(moved / "train.words", "a") as file:
        file.write("one\n")
    with pytest.raises(
        RunError, match=r"train\.words holds something else than when the run began"
    ):
        train_in_process(config, tmp_path / "run", "training.max_steps=4")


def test_the_saved_config_says_what_auto_came_to(tmp_path, settings):
    settings["training"]["precision"] = "auto"
    config = write_config(tmp_path / "c.yaml", settings)
    train_in_process(config, tmp_path / "run", "training.max_steps=1")
    resolved = Run(tmp_path / "run").config().resolved
    assert resolved.precision in ("float32", "bfloat16")
    assert {file.key for file in resolved.files} == {
        "data.train.0.source",
        "data.train.0.target",
        "data.validation.source",
        "data.validation.target",
    }
    assert resolved.versions["keras"] == keras.__version__
