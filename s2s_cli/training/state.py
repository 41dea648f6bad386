"""Where a training stands, beside its weights and its optimizer."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Window:
    """Sums since the last line of the log; `steps` counts those that were taken."""

    loss: float = 0.0
    nll: float = 0.0
    correct: float = 0.0
    weight: float = 0.0
    source_tokens: int = 0
    target_tokens: int = 0
    seconds: float = 0.0
    steps: int = 0
    skipped: int = 0


@dataclass
class TrainingState:
    """Where a training stands, beside its weights and its optimizer.

    (epoch, index) is the next batch, in plans that are made from what `plan_key` names;
    `seconds` counts all sessions.
    """

    step: int = 0
    epoch: int = 0
    index: int = 0
    plan_key: str = ""
    seconds: float = 0.0
    best: tuple[float, float] | None = None
    best_step: int | None = None
    validated_step: int = 0
    validations_without_better: int = 0
    plateau_loss: float | None = None
    plateau_validations: int = 0
    plateau_scale: float = 1.0
    skipped_in_a_row: int = 0
    set_backs: int = 0
    rate_scale: float = 1.0
    window: Window = field(default_factory=Window)
