"""Only arguments of Keras optimizers that work are accepted."""

import inspect
from typing import get_args

import keras
import pytest
from pydantic import ValidationError

from s2s_cli.config.schema import Optimizer, OptimizerName
from s2s_cli.config.schema.optimizer import ARGUMENTS, REFUSED

NAMES = get_args(OptimizerName)


def signature(name: str) -> dict[str, object]:
    """The arguments of a Keras optimizer, and their defaults."""
    parameters = inspect.signature(type(keras.optimizers.get(name)).__init__).parameters
    return {
        name: parameter.default
        for name, parameter in parameters.items()
        if name not in ("self", "kwargs")
    }


@pytest.mark.parametrize("name", NAMES)
def test_each_argument_of_keras_is_either_allowed_or_refused_with_a_reason(name):
    assert set(signature(name)) == set(ARGUMENTS[name]) | set(REFUSED)


@pytest.mark.parametrize("name", NAMES)
def test_the_defaults_of_keras_are_within_the_bounds_and_build_the_optimizer(name):
    defaults = signature(name)
    arguments = {key: defaults[key] for key in ARGUMENTS[name] if defaults[key] is not None}
    given = {**arguments, "weight_decay": 0.01}
    if not given.get("momentum"):
        given.pop("nesterov", None)
    settings = Optimizer(name=name, arguments=given)
    config = {"learning_rate": 0.1, **settings.arguments}
    built = keras.optimizers.get({"class_name": name, "config": config}).get_config()
    assert {key: built[key] for key in given} == pytest.approx(given)


def test_whole_numbers_are_numbers_and_flags_are_not():
    assert Optimizer(name="sgd", arguments={"momentum": 0, "nesterov": False}).arguments == {
        "momentum": 0.0,
        "nesterov": False,
    }


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("adam", {"clipnorm": 1.0}, "clipnorm is not supported, as it clips each variable by itself;"
         " set training.optimizer.clip_norm; allowed for adam: beta_1"),
        ("adam", {"learning_rate": 1.0}, "a setting of its own; set training.optimizer.learning_rate"),
        ("adam", {"gradient_accumulation_steps": 2}, "set training.batches_per_step"),
        ("adam", {"momentum": 0.9}, "momentum is an argument of rmsprop, sgd, not of adam; allowed"),
        ("sgd", {"jit_compile": True}, "jit_compile is not an argument of sgd; allowed for sgd: momentum"),
        ("adam", {"beta_1": 1.0}, "beta_1 is 1.0; it must be at least 0 and less than 1"),
        ("adam", {"beta_1": True}, "beta_1 is true; it must be at least 0 and less than 1"),
        ("adam", {"epsilon": float("nan")}, "epsilon is nan; it must be greater than 0"),
        ("adam", {"amsgrad": 1}, "amsgrad is 1; it must be true or false"),
        ("sgd", {"nesterov": True}, "nesterov has no effect without momentum"),
    ],
)  # fmt: skip
def test_an_argument_that_does_not_work_names_the_setting_to_use(name, arguments, message):
    with pytest.raises(ValidationError) as caught:
        Optimizer(name=name, arguments=arguments)
    assert message in str(caught.value)
