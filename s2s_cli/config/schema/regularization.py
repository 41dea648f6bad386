"""Sections of `training` that make a model generalise better, with the papers they come from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from s2s_cli.config.schema.section import Count, Fraction, Positive, Section


class SideRates(Section):
    """A rate for each side."""

    source: Fraction = 0.0
    """Share of the source tokens."""
    target: Fraction = 0.0
    """Share of the target tokens that the decoder reads; what it is to predict stays."""


class Consistency(Section):
    """A second forward pass, whose predictions are to agree with those of the first."""

    method: Literal["none", "r_drop", "simcut"] = "none"
    """r_drop: two passes with different dropout, each with its cross-entropy, and half of both KL
    divergences between them (https://arxiv.org/abs/2106.14448). simcut: the second pass lacks some
    tokens, and only its KL divergence from the first is added (https://arxiv.org/abs/2206.02368).
    Either takes about twice the time a step."""
    weight: Positive = 3.0
    """Weight of the divergence beside the cross-entropy of one pass."""
    cutoff: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.05
    """simcut: share of the tokens on both sides whose embeddings are zero in the second pass."""
    share_encoder: bool = False
    """Run the encoder once for both passes, which then differ in the decoder alone: less time, and
    less regularisation of the encoder."""


class ScheduledSampling(Section):
    """Decoder inputs that the model has predicted itself, in place of the reference's.

    All positions are predicted in one pass with the reference, and some are mixed into the inputs
    of the pass that is trained (https://arxiv.org/abs/1906.07651).
    """

    rate: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Share of the inputs that are predictions, once the schedule has ended. It costs a forward pass
    a step."""
    schedule: Literal["constant", "linear", "exponential", "inverse_sigmoid"] = "linear"
    """How the share rises from 0 (https://arxiv.org/abs/1506.03099), with x = (step - start_step) /
    steps: constant, at once; linear, min(x, 1); exponential, 1 - exp(-x); inverse_sigmoid,
    1 / (1 + steps × exp(-x))."""
    start_step: Annotated[int, Field(ge=0)] = 0
    """Step up to which the share is 0."""
    steps: Count = 2000
    """Time scale of the schedule."""
    choice: Literal["best", "sampled"] = "best"
    """Which token is predicted: the most probable one, or one that is drawn by its probability."""


class Averaging(Section):
    """An average of the weights of several steps, which is validated, translated with and exported.

    Training itself goes on from the weights that are not averaged. A checkpoint holds both.
    """

    method: Literal["none", "ema", "checkpoints"] = "none"
    """ema: an exponential moving average over all steps. checkpoints: the mean of the current weights
    and those of earlier steps (https://arxiv.org/abs/1706.03762, section 6.1)."""
    decay: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.999
    """ema: what a step leaves of the average; early in training (1 + step) / (10 + step), where that
    is less."""
    checkpoints: Annotated[int, Field(ge=2)] = 5
    """checkpoints: how many weights are averaged, the current ones counted."""
    interval: Count = 500
    """checkpoints: the earlier weights are those of multiples of this many steps. They are saved as
    checkpoints, and stay on disk as long as they are averaged."""
