"""What happens in a training, as values: the loop yields them, the console shows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from s2s_cli.text.store import Counts


@dataclass(frozen=True)
class Mended:
    """Something of the run was damaged or missing; `remedy` is a clause that says what was done."""

    damage: str
    remedy: str


@dataclass(frozen=True)
class TokenizerLearned:
    """A vocabulary was learned; `side` is source, target or shared."""

    side: str
    types: int


@dataclass(frozen=True)
class DataReady:
    """The token stores are open."""

    train: Counts
    validation: Counts | None


@dataclass(frozen=True)
class VectorsMatched:
    """Start values were read from a file."""

    path: str
    matched: int
    types: int


@dataclass(frozen=True)
class ModelReady:
    """The model is built, and training begins at `step`."""

    run: Path
    parameters: int
    architecture: str
    precision: str
    batch_tokens: int | str | None
    step: int
    changes: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """A held-out pair and what the model makes of its source."""

    source: str
    reference: str
    translation: str


@dataclass(frozen=True)
class ValidationResult:
    """Metrics by name (loss, perplexity, token_accuracy, bleu, chrf), and what they came from."""

    metrics: dict[str, float]
    signatures: dict[str, str] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True)
class StepDone:
    """A step was taken: batch `index` of `batches` in `epoch`, all counted from 1."""

    step: int
    epoch: int
    index: int
    batches: int
    seconds: float


@dataclass(frozen=True)
class StepSkipped:
    """The loss or its gradient was not finite, so the weights stay; the `in_a_row`-th time."""

    step: int
    epoch: int
    index: int
    in_a_row: int


@dataclass(frozen=True)
class SetBack:
    """Training goes back from `step` to the checkpoint of `to_step`, at a lower learning rate."""

    step: int
    to_step: int
    rate_scale: float


@dataclass(frozen=True)
class Progress:
    """Means since the one before; loss in nats a token, with smoothing; tokens without padding.

    `skipped` counts steps that were not taken.
    """

    step: int
    epoch: int
    loss: float
    perplexity: float
    token_accuracy: float
    learning_rate: float
    source_tokens_per_second: float
    target_tokens_per_second: float
    skipped: int
    seconds: float


@dataclass(frozen=True)
class Validated:
    """The model was scored on held-out pairs."""

    step: int
    epoch: int
    result: ValidationResult
    is_best: bool
    seconds: float


@dataclass(frozen=True)
class CheckpointDue:
    """The state is to be saved now, before the generator goes on."""

    step: int
    is_best: bool


@dataclass(frozen=True)
class Finished:
    """Training ended; `reason` is a clause such as "10 epochs are done"."""

    step: int
    reason: str
    interrupted: bool
    seconds: float


PreparationEvent = Mended | TokenizerLearned | DataReady | VectorsMatched | ModelReady
TrainingEvent = StepDone | StepSkipped | SetBack | Progress | Validated | CheckpointDue | Finished
