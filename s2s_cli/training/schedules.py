"""The learning rate of a step."""

from __future__ import annotations

import math

from s2s_cli.config.schema import Training
from s2s_cli.text.store import TokenStore


def learning_rate(training: Training, step: int, plateau_scale: float = 1.0) -> float:
    """The rate of step `step` (the first is 1); plateau multiplies it by `plateau_scale` so far.

    `inverse_sqrt` is the schedule of https://arxiv.org/abs/1706.03762, scaled so that its peak
    is the configured rate; `cosine` that of https://arxiv.org/abs/1608.03983 without restarts.
    """
    schedule, peak = training.schedule, training.optimizer.learning_rate
    warmup = schedule.warmup_steps
    assert schedule.name != "auto" and warmup is not None, "a resolved config says which schedule"
    if step < warmup:
        return peak * step / warmup
    if schedule.name == "inverse_sqrt":
        return peak * math.sqrt(max(warmup, 1) / step)
    if schedule.name == "cosine":
        end = schedule.decay_steps
        assert end is not None, "a resolved config says where cosine ends"
        progress = min(1.0, (step - warmup) / max(1, end - warmup))
        cosine = (1.0 + math.cos(math.pi * progress)) / 2.0
        return peak * (schedule.minimum + (1.0 - schedule.minimum) * cosine)
    if schedule.name == "plateau":
        return peak * max(plateau_scale, schedule.minimum)
    return peak


def estimated_steps(training: Training, store: TokenStore) -> int | None:
    """About how many steps the training takes, or None where only its time is limited."""
    if training.batch_size is not None:
        epoch = math.ceil(len(store) / training.batch_size)
    else:
        assert isinstance(training.batch_tokens, int)
        longer = max(len(store.source.values), len(store.target.values))
        epoch = math.ceil(longer / training.batch_tokens)
    epoch = math.ceil(epoch / training.batches_per_step)
    limits = [training.max_steps] if training.max_steps else []
    limits += [training.epochs * max(1, epoch)] if training.epochs else []
    return min(limits, default=None)


def warnings_about(training: Training, store: TokenStore) -> tuple[str, ...]:
    """Sentences about a schedule that does not fit the length of the training."""
    steps, warmup = estimated_steps(training, store), training.schedule.warmup_steps
    assert warmup is not None
    if steps is None or warmup < steps:
        return ()
    return (
        f"the warm-up of {warmup:,} steps does not end before the training, which takes some"
        f" {steps:,}: the learning rate stays below {training.optimizer.learning_rate:g}; lower"
        " training.schedule.warmup_steps, or train longer",
    )
