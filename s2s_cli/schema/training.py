"""The section `training`: how the weights are found."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from s2s_cli.schema.section import Count, Fraction, MisfitError, Positive, Section

OptimizerName = Literal[
    "adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw",
    "ftrl", "lion", "nadam", "rmsprop", "sgd",
]  # fmt: skip


class Optimizer(Section):
    """Takes the gradient step."""

    name: OptimizerName = "adam"
    """An optimizer by its Keras name."""
    learning_rate: Positive = 5.0e-4
    """Peak rate; the schedule scales it."""
    clip_norm: Positive | None = 1.0
    """Bound on the global norm of the gradient; null: none."""
    arguments: dict[str, float | bool] = Field(default_factory=dict)
    """Further arguments of the Keras optimizer, such as beta_2."""


class Schedule(Section):
    """The learning rate over time."""

    name: Literal["constant", "inverse_sqrt", "cosine", "plateau"] = "constant"
    """How the rate goes on after the warm-up."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps over which the rate rises from 0."""
    decay_steps: Count | None = None
    """cosine: the step at which the rate has come down; null: training.max_steps."""
    minimum: Fraction = 0.0
    """cosine, plateau: the lowest rate, as a share of the peak."""
    factor: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    """plateau: what the rate is multiplied by."""
    patience: Count = 2
    """plateau: validations without a lower loss before that."""


class EarlyStopping(Section):
    """Which checkpoint is the best, and when to stop looking for a better one."""

    metric: Literal["loss", "perplexity", "token_accuracy", "bleu", "chrf"] = "bleu"
    """What makes one validation better than another; between equals, the lower loss."""
    patience: Count | None = 5
    """Validations without a better one before training ends; null: never."""


class Training(Section):
    """How the weights are found."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Everything random follows from it."""
    epochs: Count | None = None
    """Passes over the training pairs; 10 where no limit is set."""
    max_steps: Count | None = None
    """Optimizer steps."""
    max_minutes: Positive | None = None
    """Minutes of training, validations counted, over all sessions of the run."""
    batch_tokens: Count | Literal["auto"] | None = 4096
    """Padded tokens of the longer side in a batch; null where batch_size is set. auto: 4096, or
    as often halved as it takes to fit into half of the memory that is free."""
    batch_size: Count | None = None
    """Sentence pairs in a batch, instead of batch_tokens."""
    optimizer: Optimizer = Optimizer()
    """Takes the gradient step."""
    schedule: Schedule = Schedule()
    """The learning rate over time."""
    label_smoothing: Fraction = 0.1
    """Share of the target probability spread over all types (https://arxiv.org/abs/1512.00567)."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of products in training; auto is bfloat16 where the processor is faster in it."""
    validation_steps: Count | None = 500
    """Steps between validations; null: at the end of each epoch."""
    checkpoint_steps: Count = 500
    """Steps between checkpoints."""
    keep_checkpoints: Count = 3
    """The latest ones; the best is kept besides."""
    log_steps: Count = 50
    """Steps between lines of metrics.jsonl."""
    bleu_tokenizer: Literal["13a", "intl", "zh", "char", "none"] = "13a"
    """sacreBLEU's tokenizer: 13a for scripts with spaces, zh or char for Chinese and Japanese."""
    sample_translations: Annotated[int, Field(ge=0)] = 3
    """Translations shown at a validation."""
    early_stopping: EarlyStopping = EarlyStopping()
    """Which checkpoint is the best, and when to stop."""
    max_skipped_steps: Annotated[int, Field(ge=0)] = 10
    """Steps in a row that may be passed over because their loss or gradient is not finite. At
    one more, training goes back to its last checkpoint at half the learning rate, three times
    at most."""
    deterministic: bool = False
    """The same bits on every run of one machine; slower."""
    tensorboard: bool = False
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
        if self.batch_tokens is None and self.batch_size is None:
            raise MisfitError(
                "batch_size", "and training.batch_tokens are both null; set one of them"
            )
        if self.batch_tokens is not None and self.batch_size is not None:
            raise MisfitError(
                "batch_size", "and training.batch_tokens exclude each other; set one of them"
            )
        if self.schedule.name == "inverse_sqrt" and self.schedule.warmup_steps == 0:
            raise MisfitError("schedule.warmup_steps", "must be 1 or more for inverse_sqrt")
        needs_length = self.schedule.name == "cosine" and self.schedule.decay_steps is None
        if needs_length and self.max_steps is None:
            raise MisfitError(
                "schedule.decay_steps", "must be set for cosine where training.max_steps is not"
            )
        return self
