"""The section `training.optimizer`, and the arguments that each Keras optimizer accepts."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import Field, ValidationInfo, field_validator

from s2s_cli.config.schema.section import MisfitError, OnResume, Positive, Section, shown

OptimizerName = Literal[
    "adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw",
    "ftrl", "lion", "nadam", "rmsprop", "sgd",
]  # fmt: skip


class _Number(NamedTuple):
    """A numeric argument with its bounds."""

    low: float = -math.inf
    high: float = math.inf
    low_allowed: bool = True
    high_allowed: bool = True

    def accepts(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        above = value >= self.low if self.low_allowed else value > self.low
        return above and (value <= self.high if self.high_allowed else value < self.high)

    def __str__(self) -> str:
        bounds = []
        if self.low > -math.inf:
            bounds.append(f"{'at least' if self.low_allowed else 'greater than'} {self.low:g}")
        if self.high < math.inf:
            bounds.append(f"{'at most' if self.high_allowed else 'less than'} {self.high:g}")
        return " and ".join(bounds) or "a number"


class _Flag(NamedTuple):
    """An argument that is true or false."""

    def accepts(self, value: object) -> bool:
        return isinstance(value, bool)

    def __str__(self) -> str:
        return "true or false"


_SHARE = _Number(low=0, high=1, high_allowed=False)
_FROM_0 = _Number(low=0)
_ABOVE_0 = _Number(low=0, low_allowed=False)
_TO_0 = _Number(high=0)
_FLAG = _Flag()

_Arguments = dict[str, _Number | _Flag]
_ADAM: _Arguments = {"beta_1": _SHARE, "beta_2": _SHARE, "epsilon": _ABOVE_0}
_DECAY: _Arguments = {"weight_decay": _FROM_0}

ARGUMENTS: dict[OptimizerName, _Arguments] = {
    "adadelta": {"rho": _SHARE, "epsilon": _ABOVE_0, **_DECAY},
    "adafactor": {
        "beta_2_decay": _TO_0,
        "epsilon_1": _ABOVE_0,
        "epsilon_2": _ABOVE_0,
        "clip_threshold": _ABOVE_0,
        "relative_step": _FLAG,
        **_DECAY,
    },
    "adagrad": {"initial_accumulator_value": _FROM_0, "epsilon": _ABOVE_0, **_DECAY},
    "adam": {**_ADAM, "amsgrad": _FLAG, **_DECAY},
    "adamax": {**_ADAM, **_DECAY},
    "adamw": {**_ADAM, "amsgrad": _FLAG, **_DECAY},
    "ftrl": {
        "learning_rate_power": _TO_0,
        "initial_accumulator_value": _FROM_0,
        "l1_regularization_strength": _FROM_0,
        "l2_regularization_strength": _FROM_0,
        "l2_shrinkage_regularization_strength": _FROM_0,
        "beta": _FROM_0,
        **_DECAY,
    },
    "lion": {"beta_1": _SHARE, "beta_2": _SHARE, **_DECAY},
    "nadam": {**_ADAM, **_DECAY},
    "rmsprop": {
        "rho": _SHARE,
        "momentum": _SHARE,
        "epsilon": _ABOVE_0,
        "centered": _FLAG,
        **_DECAY,
    },
    "sgd": {"momentum": _SHARE, "nesterov": _FLAG, **_DECAY},
}
"""The arguments that work, by optimizer."""

_AVERAGES = "is a setting of its own; set training.averaging"
_CLIPS_EACH = (
    "is not supported, as it clips each variable by itself; set training.optimizer.clip_norm"
)
REFUSED: dict[str, str] = {
    "learning_rate": "is a setting of its own; set training.optimizer.learning_rate",
    "clipnorm": _CLIPS_EACH,
    "clipvalue": "is not supported, as it changes the gradient's direction;"
    " set training.optimizer.clip_norm",
    "global_clipnorm": "is a setting of its own; set training.optimizer.clip_norm",
    "use_ema": _AVERAGES,
    "ema_momentum": _AVERAGES,
    "ema_overwrite_frequency": _AVERAGES,
    "loss_scale_factor": "is not supported: it divides the gradients, and nothing multiplies the"
    " loss; bfloat16 needs no loss scaling",
    "gradient_accumulation_steps": "is not supported, as it averages batches instead of tokens;"
    " set training.batches_per_step",
    "name": "is not supported: it would only rename the optimizer's variables",
}
"""Why the other arguments of Keras optimizers are refused: a clause that follows the name."""


class Optimizer(Section):
    """The algorithm that updates the weights."""

    name: Annotated[OptimizerName, OnResume.NEW_RUN] = "adam"
    """Keras name of the optimizer."""
    learning_rate: Positive = 5.0e-4
    """Peak learning rate, which the schedule scales."""
    clip_norm: Positive | None = 1.0
    """Upper bound on the global norm of the gradient; null: no bound."""
    arguments: dict[str, float | bool] = Field(default_factory=dict)
    """Further arguments of the Keras optimizer, such as {beta_2: 0.98}."""

    @field_validator("arguments", mode="before")
    @classmethod
    def _only_arguments_that_work(cls, values: Any, info: ValidationInfo) -> Any:
        if not isinstance(values, dict) or "name" not in info.data:
            return values  # reported by the types
        name: OptimizerName = info.data["name"]
        allowed = ARGUMENTS[name]
        misfits = [
            (str(argument), _mistake(name, str(argument), value))
            for argument, value in values.items()
            if argument not in allowed or not allowed[argument].accepts(value)
        ]
        if not misfits and values.get("nesterov") and not values.get("momentum"):
            misfits = [("nesterov", "has no effect without momentum; add momentum, such as 0.9")]
        if misfits:
            raise MisfitError(*misfits)
        return values


def _mistake(optimizer: OptimizerName, argument: str, value: object) -> str:
    """What is wrong with an argument of an optimizer: a clause that follows the argument's name."""
    allowed = ARGUMENTS[optimizer]
    if argument in allowed:
        return f"is {shown(value)}; it must be {allowed[argument]}"
    listed = f"allowed for {optimizer}: {', '.join(allowed)}"
    if argument in REFUSED:
        return f"{REFUSED[argument]}; {listed}"
    owners = [name for name in get_args(OptimizerName) if argument in ARGUMENTS[name]]
    if owners:
        return f"is an argument of {', '.join(owners)}, not of {optimizer}; {listed}"
    return f"is not an argument of {optimizer}; {listed}"
