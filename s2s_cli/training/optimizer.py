"""The Keras optimizer of a training, and names for its variables."""

from __future__ import annotations

import keras

from s2s_cli.config.schema import Optimizer
from s2s_cli.errors import ConfigError


def make_optimizer(settings: Optimizer) -> keras.optimizers.Optimizer:
    """The configured optimizer; gradients are clipped before it gets them."""
    config = {"learning_rate": settings.learning_rate, **settings.arguments}
    try:
        return keras.optimizers.get({"class_name": settings.name, "config": config})
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"training.optimizer.arguments: Keras cannot make {settings.name} from"
            f" {settings.arguments}: {error}.",
            "Give arguments that Keras documents for this optimizer.",
        ) from None


def name_variables(
    optimizer: keras.optimizers.Optimizer, weights: list[keras.Variable]
) -> dict[str, keras.Variable]:
    """The variables of a built optimizer: slots as `<weight path>/<slot>`, scalars by their name.

    Keras's own paths are neither unique (Adafactor) nor stable (a second Adam is `adam_1`). It
    lists `iteration` and `learning_rate`, then the slots, whose names begin with the path of
    their weight, then perhaps scalars. Slots that are named otherwise stand before another one
    of the same weight.
    """
    paths = {f"{weight.path.replace('/', '_')}_": weight.path for weight in weights}
    iteration, learning_rate, *others = optimizer.variables
    named = {iteration.name: iteration, learning_rate.name: learning_rate}
    unnamed: list[keras.Variable] = []
    for variable in others:
        prefix = max(filter(variable.name.startswith, paths), key=len, default=None)
        if prefix is None:
            unnamed.append(variable)
            continue
        path = paths[prefix]
        named.update({f"{path}/slot_{index}": slot for index, slot in enumerate(unnamed)})
        named[f"{path}/{variable.name.removeprefix(prefix)}"] = variable
        unnamed.clear()
    named.update({f"scalar_{index}": scalar for index, scalar in enumerate(unnamed)})
    assert len(named) == len(optimizer.variables), "every variable needs a name of its own"
    return named
