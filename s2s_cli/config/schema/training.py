"""The section `training`: how the weights are trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from s2s_cli.config.schema.optimizer import Optimizer
from s2s_cli.config.schema.regularization import (
    Averaging,
    Consistency,
    ScheduledSampling,
    SideRates,
)
from s2s_cli.config.schema.section import (
    Count,
    FileMark,
    FileName,
    Fraction,
    MisfitError,
    OnResume,
    Positive,
    Section,
)

# How much the sampling of subwords varies; 0 would be no sampling for bpe, and the most for unigram.
Strength = Annotated[float, Field(gt=0.0, le=1.0)]


class Schedule(Section):
    """How the learning rate changes over time."""

    name: Literal["auto", "constant", "inverse_sqrt", "cosine", "plateau"] = "auto"
    """How the learning rate changes after the warm-up. auto is inverse_sqrt for Transformers, which
    need a warm-up and then a falling rate, and constant for recurrent models."""
    warmup_steps: Annotated[int, Field(ge=0)] | None = None
    """Steps over which the learning rate rises from 0 to its peak; null: for inverse_sqrt 2000, or an
    eighth of training.max_steps if that is less; for all others 0."""
    decay_steps: Count | None = None
    """cosine: the step at which the learning rate reaches its minimum; null: training.max_steps."""
    minimum: Fraction = 0.0
    """cosine, plateau: the lowest learning rate, as a share of the peak."""
    factor: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    """plateau: the learning rate is multiplied by this when the validation loss stops falling."""
    patience: Count = 2
    """plateau: validations without a lower loss before the learning rate is lowered."""


class EarlyStopping(Section):
    """How the best checkpoint is chosen, and when training stops early."""

    metric: Literal["loss", "perplexity", "token_accuracy", "bleu", "chrf"] = "bleu"
    """Metric that decides which validation is better. Between equal values, the lower loss does."""
    patience: Annotated[Count | None, OnResume.SAFE] = 5
    """Validations without a better one after which training ends; null: never."""


class SubwordSampling(Section):
    """How training sentences are cut into subwords at random, anew in each epoch."""

    source: Strength | None = None
    """bpe: the share of merges that are left out (BPE-dropout, https://arxiv.org/abs/1910.13267).
    unigram: a way to cut of probability p is drawn with probability proportional to p to the power
    of this, so a smaller number varies more (https://arxiv.org/abs/1804.10959). 0.1 is usual for both;
    null: off."""
    target: Strength | None = None
    """The same for the target."""

    @property
    def is_on(self) -> bool:
        """Whether a side is cut at random."""
        return self.source is not None or self.target is not None


class InitializeFrom(Section):
    """Another run, whose weights a training begins with."""

    run: FileName
    """Directory of the run."""
    checkpoint: Count | Literal["best", "latest"] = "best"
    """Checkpoint of it: best, latest, or the number of a step."""
    tokenizer: bool = True
    """Take its tokenizer and the settings of the section `tokenizer` too. false: learn a tokenizer
    from the new corpora; tokens that both vocabularies have keep their vectors."""

    @model_validator(mode="before")
    @classmethod
    def _text_names_the_run(cls, values: Any) -> Any:
        return {"run": values} if isinstance(values, str) else values


class Training(Section):
    """How the weights are trained."""

    seed: Annotated[int, Field(ge=0, lt=2**31), OnResume.NEW_RUN] = 1
    """Seed of everything random."""
    epochs: Annotated[Count | None, OnResume.SAFE] = None
    """Limit: passes over the training pairs; 10 if neither epochs, max_steps nor max_minutes is set."""
    max_steps: Annotated[Count | None, OnResume.SAFE] = None
    """Limit: optimizer steps."""
    max_minutes: Annotated[Positive | None, OnResume.SAFE] = None
    """Limit: minutes of training, validations included, over all sessions of the run."""
    initialize_from: Annotated[InitializeFrom | None, FileMark(), OnResume.NEW_RUN] = None
    """A run, or {run: RUN, …}, whose weights this training begins with, where path and shape are the
    same; optimizer, schedule and step begin anew. null: random weights."""
    batch_tokens: Count | Literal["auto"] | None = 4096
    """Padded tokens of the longer side in a batch; null if batch_size is set. auto starts from 4096
    and halves until one step fits in half of the free memory."""
    batch_size: Count | None = None
    """Sentence pairs in a batch, instead of batch_tokens."""
    batches_per_step: Count = 1
    """Batches whose gradients are added up, each token with the same weight, for one step of the
    optimizer. More than 1 gives large batches in the memory of a small one."""
    optimizer: Optimizer = Optimizer()
    """The algorithm that updates the weights."""
    schedule: Schedule = Schedule()
    """How the learning rate changes over time."""
    label_smoothing: Fraction = 0.1
    """Share of the target probability that is spread over the vocabulary
    (https://arxiv.org/abs/1512.00567)."""
    word_dropout: SideRates = SideRates()
    """Tokens that are replaced by `<unk>` where the model reads them (https://arxiv.org/abs/2011.02266)."""
    token_cutoff: SideRates = SideRates()
    """Tokens whose embeddings are zero where the model reads them (https://arxiv.org/abs/2009.13818)."""
    consistency: Consistency = Consistency()
    """A second forward pass, whose predictions are to agree with those of the first."""
    scheduled_sampling: ScheduledSampling = ScheduledSampling()
    """Decoder inputs that the model has predicted itself, in place of the reference's."""
    averaging: Averaging = Averaging()
    """An average of the weights of several steps, which is validated, translated with and exported."""
    subword_sampling: SubwordSampling = SubwordSampling()
    """How training sentences are cut into subwords at random, anew in each epoch."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Data type of matrix products in training. auto is bfloat16 where this processor computes
    faster in it, else float32."""
    validation_steps: Count | None = 500
    """Steps between validations; null: validate at the end of each epoch."""
    checkpoint_steps: Annotated[Count, OnResume.SAFE] = 500
    """Steps between checkpoints."""
    keep_checkpoints: Annotated[Count, OnResume.SAFE] = 3
    """Number of latest checkpoints that stay on disk. The best one stays too."""
    log_steps: Annotated[Count, OnResume.SAFE] = 50
    """Steps between lines of metrics.jsonl."""
    bleu_tokenizer: Literal["auto", "13a", "intl", "zh", "char", "none"] = "auto"
    """sacreBLEU's tokenizer. auto follows the script of the training targets: zh for Chinese; char
    for Japanese, Thai, Lao, Khmer and Burmese; 13a for scripts with spaces between words."""
    sample_translations: Annotated[int, Field(ge=0), OnResume.SAFE] = 3
    """Translations that are shown at each validation."""
    early_stopping: EarlyStopping = EarlyStopping()
    """How the best checkpoint is chosen, and when training stops early."""
    max_skipped_steps: Annotated[int, Field(ge=0)] = 10
    """Consecutive steps that may be skipped because their loss or gradient is not finite. At one
    more, training rolls back to the last checkpoint and halves the learning rate, at most three
    times."""
    reduce_precision: Literal["float32", "bfloat16"] = "float32"
    """Numbers in which several workers exchange gradients. bfloat16 halves what travels a step, and
    rounds each gradient to 8 bits before it is summed; one worker alone exchanges none."""
    deterministic: bool = False
    """Use only deterministic operations: the same bits in every run on one machine, but slower."""
    tensorboard: Annotated[bool, OnResume.SAFE] = False
    """Write event files for TensorBoard into the run."""

    @model_validator(mode="before")
    @classmethod
    def _defaults_that_depend(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values = dict(values)
        if values.get("batch_size") is not None:
            values.setdefault("batch_tokens", None)
        if all(values.get(limit) is None for limit in ("epochs", "max_steps", "max_minutes")):
            values["epochs"] = 10
        return values

    @model_validator(mode="after")
    def _settings_fit(self) -> Training:
        misfits = []
        if self.batch_tokens is None and self.batch_size is None:
            misfits.append(
                ("batch_size", "and training.batch_tokens are both null; set one of them")
            )
        if self.batch_tokens is not None and self.batch_size is not None:
            misfits.append(
                ("batch_size", "and training.batch_tokens exclude each other; set one of them")
            )
        if self.schedule.name == "inverse_sqrt" and self.schedule.warmup_steps == 0:
            misfits.append(("schedule.warmup_steps", "must be at least 1 for inverse_sqrt"))
        needs_end = self.schedule.name == "cosine" and self.schedule.decay_steps is None
        if needs_end and self.max_steps is None:
            misfits.append(
                ("schedule.decay_steps", "must be set for cosine if training.max_steps is not")
            )
        if misfits:
            raise MisfitError(*misfits)
        return self
