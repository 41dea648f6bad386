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

    (epoch, index) is the next batch, both counted from 0; `plan_key` names what the plans are
    made from. `seconds` counts all sessions.
    """

    step: int = 0
    epoch: int = 0
    index: int = 0
    plan_key: str = ""
    seconds: float = 0.0

    # Validations in the configured intervals: which was the best, and for how long.
    selection_key: str = ""
    """What `best` is measured by; costs of another kind are not compared with it."""
    best: tuple[float, float] | None = None
    """The lowest cost so far; see `s2s_cli.training.loop.Selection`."""
    best_step: int | None = None
    validations_without_better: int = 0
    plateau_loss: float | None = None
    plateau_validations: int = 0
    plateau_scale: float = 1.0

    owes_validation: bool = False
    """Whether the validation of `step` is due and was not finished."""
    validated_step: int = 0
    selected_step: int | None = None
    """The step that the pointer `best` names: `best_step`, or that of a better final validation."""

    skipped_in_a_row: int = 0
    rollbacks: int = 0
    lr_scale: float = 1.0
    window: Window = field(default_factory=Window)
