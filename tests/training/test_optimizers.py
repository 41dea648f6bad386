"""The names of the variables of an optimizer, by which they are saved and restored."""

import keras
import numpy as np
import pytest

from s2s_cli.config.schema import Optimizer
from s2s_cli.training.optimizer import make_optimizer, name_variables

CASES = {
    "adadelta": {},
    "adafactor": {},
    "adagrad": {},
    "adam": {},
    "adam with amsgrad": {"amsgrad": True},
    "adamax": {},
    "adamw": {"weight_decay": 0.01},
    "adamw with amsgrad": {"amsgrad": True},
    "ftrl": {},
    "lion": {},
    "nadam": {},
    "rmsprop": {},
    "rmsprop with all slots": {"momentum": 0.9, "centered": True},
    "sgd": {},
    "sgd with momentum": {"momentum": 0.9, "nesterov": True},
}
SLOTS = {
    "adadelta": ["accumulated_grad", "accumulated_delta_var"],
    "adafactor": ["slot_0", "slot_1", "velocity"],
    "adagrad": ["accumulator"],
    "adam": ["momentum", "velocity"],
    "adam with amsgrad": ["momentum", "velocity", "velocity_hat"],
    "adamax": ["momentum", "norm"],
    "adamw": ["momentum", "velocity"],
    "adamw with amsgrad": ["momentum", "velocity", "velocity_hat"],
    "ftrl": ["accumulator", "linear"],
    "lion": ["momentum"],
    "nadam": ["momentum", "velocity"],
    "rmsprop": ["velocity"],
    "rmsprop with all slots": ["velocity", "momentum", "average_gradient"],
    "sgd": [],
    "sgd with momentum": ["momentum"],
}


def make_weights() -> list[keras.Variable]:
    """Weights of all ranks, two of them with one name, one with a path that begins another's."""
    shapes = {"table/embeddings": (7, 3), "cell/kernel": (3, 8), "cell/kernel_2": (2, 3)}
    shapes |= {"cell/bias": (8,), "other/kernel": (3, 8), "other/scale": ()}
    weights, random = [], np.random.default_rng(3)
    for path, shape in shapes.items():
        scope, name = path.split("/")
        with keras.name_scope(scope):
            weights.append(keras.Variable(random.normal(size=shape), name=name))
    assert [weight.path for weight in weights] == list(shapes)
    return weights


def build(case: str) -> tuple[list[keras.Variable], keras.optimizers.Optimizer]:
    weights = make_weights()
    optimizer = make_optimizer(Optimizer(name=case.split()[0], arguments=CASES[case]))
    optimizer.build(weights)
    return weights, optimizer


def take_steps(weights, optimizer, first: int, last: int) -> None:
    for step in range(first, last + 1):
        random = np.random.default_rng(step)
        gradients = [
            keras.ops.convert_to_tensor(random.normal(size=w.shape).astype(np.float32))
            for w in weights
        ]
        optimizer.learning_rate = 0.01 / step
        optimizer.apply(gradients, weights)


def bits(variables) -> list[bytes]:
    return [keras.ops.convert_to_numpy(variable).tobytes() for variable in variables]


@pytest.mark.parametrize("case", CASES)
def test_every_slot_is_named_after_its_weight_and_every_scalar_by_its_name(case):
    weights, optimizer = build(case)
    named = name_variables(optimizer, weights)
    scalars = {"iteration", "learning_rate"} | ({"scalar_0"} if case == "nadam" else set())
    expected = {f"{weight.path}/{slot}" for weight in weights for slot in SLOTS[case]}
    assert set(named) == expected | scalars
    assert {id(v) for v in named.values()} == {id(v) for v in optimizer.variables}
    by_path = {weight.path: weight for weight in weights}
    for name, variable in named.items():
        path, _, slot = name.rpartition("/")
        if path and not slot.startswith("slot_"):
            assert variable.shape == by_path[path].shape, name


@pytest.mark.parametrize("case", CASES)
def test_a_second_optimizer_in_one_process_has_the_same_names_and_continues_with_the_same_bits(
    case,
):
    weights, optimizer = build(case)
    other_weights, other = build(case)
    take_steps(weights, optimizer, 1, 3)
    named, other_named = (
        name_variables(*pair) for pair in ((optimizer, weights), (other, other_weights))
    )
    assert list(named) == list(other_named)
    # Restored by name into a process's second optimizer, whose own paths may differ.
    for weight, value in zip(other_weights, weights, strict=True):
        weight.assign(keras.ops.convert_to_numpy(value))
    for name in sorted(named):
        other_named[name].assign(keras.ops.convert_to_numpy(named[name]))
    for pair in ((weights, optimizer), (other_weights, other)):
        take_steps(*pair, 4, 6)
    assert bits(weights) == bits(other_weights)
    assert bits(optimizer.variables) == bits(other.variables)


def test_all_eleven_optimizers_are_tested():
    from typing import get_args

    from s2s_cli.config.schema import OptimizerName

    assert {case.split()[0] for case in CASES} == set(get_args(OptimizerName))
    assert len(get_args(OptimizerName)) == 11


def test_arguments_reach_the_keras_optimizer():
    optimizer = make_optimizer(Optimizer(name="adam", arguments={"beta_1": 0.8}))
    assert isinstance(optimizer, keras.optimizers.Adam) and optimizer.beta_1 == 0.8
