"""What happens in a training, as values that the loop yields and the console shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from s2s_cli.runs.repair import Repaired

if TYPE_CHECKING:
    from pathlib import Path

    from s2s_cli.text.filters import Counts


@dataclass(frozen=True)
class WaitingForChief:
    """The run is prepared by the chief; this worker begins when that is done."""


@dataclass(frozen=True)
class WorkersConnected:
    """All workers have found each other, for the first time or after one of them was lost."""

    count: int


@dataclass(frozen=True)
class PreparationProgress:
    """How far a stage of preparing data is, in `unit`; `total` is None if it is not known."""

    stage: str
    done: int
    total: int | None
    unit: str


@dataclass(frozen=True)
class TokenizerLearned:
    """A vocabulary was learned; `side` is source, target or shared."""

    side: str
    vocab_size: int


@dataclass(frozen=True)
class CorporaRead:
    """The training corpora were read.

    `read_as`: paths whose content decided how they were read, and how, in words. `line_ends` in
    texts were replaced by spaces.
    """

    read_as: tuple[tuple[str, str], ...]
    line_ends: int


@dataclass(frozen=True)
class DataReady:
    """The token stores are open."""

    train: Counts
    validation: Counts | None
    unknown: tuple[float, float] = (0.0, 0.0)
    """Share of `<unk>` among the tokens of the training pairs, of the source and of the target."""
    is_bidirectional: bool = False
    """Whether `train` counts each pair twice, once in each direction."""


@dataclass(frozen=True)
class VectorsMatched:
    """Initial values of `matched` rows of an embedding table were read from a file."""

    path: str
    matched: int
    vocab_size: int
    skipped: str = ""
    """Lines of the file that could not be used, in words."""


@dataclass(frozen=True)
class WeightsInitialized:
    """The training begins with weights of another run, from its checkpoint of `step`.

    `taken` of the model's `weights` arrays were there in the same shape; `not_taken` says of each
    other one why, a clause each. `shared_tokens`: for each side how many tokens both vocabularies
    have, and how many there are; None where the vocabularies are the same.
    """

    run: str
    step: int
    taken: int
    weights: int
    not_taken: tuple[str, ...] = ()
    shared_tokens: tuple[tuple[str, int, int], ...] | None = None


@dataclass(frozen=True)
class SubwordsSampled:
    """The training sentences were cut at random, for the epoch that begins or goes on.

    `tokens` and `plain_tokens` count both sides, cut at random and as they are for inference.
    `unchanged` pairs keep their plain tokens, as they would be too long for the model.
    """

    tokens: int
    plain_tokens: int
    unchanged: int


@dataclass(frozen=True)
class ModelReady:
    """The model is built, and training begins or resumes after `step`.

    `changes` are clauses: what differs from the config that the run had before. `warnings` are
    sentences about settings that do not fit each other. So many `workers` train together.
    """

    run: Path
    parameters: int
    architecture: str
    precision: str
    batch_tokens: int | None
    step: int
    changes: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    workers: int = 1


@dataclass(frozen=True)
class SelectionReset:
    """Best checkpoint, patience and plateau begin anew, as another quantity is compared from now on."""

    reason: str


@dataclass(frozen=True)
class EpochRestarted:
    """The epoch (counted from 1) begins again, as its batches are planned from other data or sizes."""

    epoch: int


@dataclass(frozen=True)
class Sample:
    """A held-out pair and the model's translation of its source."""

    source: str
    reference: str
    translation: str


@dataclass(frozen=True)
class ValidationResult:
    """Metrics by name (loss, perplexity, token_accuracy, bleu, chrf), with signatures and samples."""

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
class RolledBack:
    """Training went back from `step` to the checkpoint of `to_step`, with a lower learning rate."""

    step: int
    to_step: int
    lr_scale: float


@dataclass(frozen=True)
class Progress:
    """Means since the last one; loss in nats a token, with smoothing; tokens without padding.

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
    """The model was scored on held-out pairs.

    `in_sequence`: one of the configured intervals, which decide on the best checkpoint and on
    early stopping; otherwise the final validation of a training that ended between two of them.
    """

    step: int
    epoch: int
    result: ValidationResult
    is_best: bool
    in_sequence: bool
    seconds: float


@dataclass(frozen=True)
class CheckpointSaved:
    """The state was saved; `is_best`: the pointer `best` names it."""

    step: int
    is_best: bool


@dataclass(frozen=True)
class Finished:
    """Training ended; `reason` is a clause such as "10 epochs are done"."""

    step: int
    reason: str
    interrupted: bool
    seconds: float


PreparationEvent = (
    WaitingForChief
    | WorkersConnected
    | Repaired
    | PreparationProgress
    | TokenizerLearned
    | CorporaRead
    | DataReady
    | VectorsMatched
    | WeightsInitialized
    | SubwordsSampled
    | ModelReady
    | SelectionReset
    | EpochRestarted
)
TrainingEvent = (
    StepDone | StepSkipped | RolledBack | Progress | Validated | CheckpointSaved | Finished
)
