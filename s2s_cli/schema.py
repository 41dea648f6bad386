"""The configuration: every setting, its default, and what it means.

A default is written here and nowhere else. The attribute docstrings become the
descriptions in `s2s schema`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]

OptimizerName = Literal[
    "adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw",
    "ftrl", "lion", "nadam", "rmsprop", "sgd",
]  # fmt: skip
InitializerName = Literal[
    "constant", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "identity",
    "lecun_normal", "lecun_uniform", "normal", "ones", "orthogonal", "random_normal",
    "random_uniform", "truncated_normal", "uniform", "variance_scaling", "zeros",
]  # fmt: skip


class MisfitError(ValueError):
    """Two settings that do not fit together; `path` is the one to blame."""

    def __init__(self, path: str, message: str):
        super().__init__(message)
        self.path = tuple(path.split("."))


class Section(BaseModel):
    """Frozen, and closed: an unknown key is a mistake."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


class Files(Section):
    """Sentence pairs: `tsv`, or `source` and `target`; any of them may end in .gz."""

    source: str | None = None
    """File with one source sentence a line."""
    target: str | None = None
    """File with the translation of each source line."""
    tsv: str | None = None
    """File with lines `source<TAB>target`, and perhaps a third column."""
    third_column: Literal["weight", "ignore"] = "weight"
    """What a third column of the tsv holds: the weight of the pair in the loss, or nothing of use."""

    @property
    def paths(self) -> list[str]:
        """Every file that is set."""
        return [path for path in (self.source, self.target, self.tsv) if path is not None]

    def _require_one_kind(self) -> None:
        pair = self.source is not None and self.target is not None
        if (self.tsv is not None) == pair or (self.source is None) != (self.target is None):
            raise ValueError("needs `tsv: FILE`, or both `source: FILE` and `target: FILE`")


class Corpus(Files):
    """Sentence pairs to train on."""

    mixing_weight: Positive | None = None
    """Share of this corpus in an epoch, relative to the others; null: every pair once an epoch."""

    @model_validator(mode="after")
    def _one_kind_of_files(self) -> Corpus:
        self._require_one_kind()
        return self


class Validation(Files):
    """Pairs that are never trained on: files, or a fraction of the training pairs."""

    fraction: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Share of the training pairs to hold out, by a hash of (seed, source): no source is on both sides."""
    max_pairs: Count = 2000
    """At most this many pairs are scored at a validation; more that are held out stay unused."""

    @model_validator(mode="after")
    def _files_or_fraction(self) -> Validation:
        if self.fraction is None and not self.paths:
            raise ValueError("needs `fraction: 0.05`, `tsv: FILE`, or `source:` and `target:`")
        if self.fraction is None:
            self._require_one_kind()
        elif self.paths:
            raise ValueError("needs files or `fraction`, not both")
        return self


class Data(Section):
    """Where the sentence pairs come from."""

    train: list[Corpus]
    """One corpus, or a list of them."""
    validation: Validation | None = Validation(fraction=0.05)
    """What the model is judged by while it trains; null: nothing."""
    max_length: Count = 100
    """Pieces a side; longer pairs are counted and left out."""

    @model_validator(mode="before")
    @classmethod
    def _one_corpus_is_a_list_of_one(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("train"), dict):
            return {**values, "train": [values["train"]]}
        return values

    @model_validator(mode="after")
    def _all_or_none_are_mixed(self) -> Data:
        if not self.train:
            raise MisfitError("train", "is an empty list; give at least one corpus")
        if len({corpus.mixing_weight is None for corpus in self.train}) > 1:
            raise MisfitError("train", "needs `mixing_weight` on every corpus or on none")
        return self


class Tokenizer(Section):
    """How sentences are cut into pieces; learned by SentencePiece from the training pairs."""

    type: Literal["unigram", "bpe", "word", "char"] = "unigram"
    """`word` keeps punctuation apart from words and joins it again in the output."""
    vocab_size: Annotated[int, Field(ge=8)] = 8000
    """Types a vocabulary, the four special ones counted; `word` and `char` take at most this many."""
    shared: bool = True
    """One vocabulary for both sides, learned from both."""
    normalization: Literal["nmt_nfkc", "nfkc", "identity"] = "nmt_nfkc"
    """SentencePiece's rule for Unicode."""
    lowercase: bool = False
    """Fold case on both sides, in the output too."""
    character_coverage: Annotated[float, Field(gt=0.9, le=1.0)] = 1.0
    """Share of the characters that get a type of their own; 0.9995 suits Chinese or Japanese."""
    input_sentence_size: Count = 1_000_000
    """Sentences drawn at random to learn from, where the corpus has more."""

    @model_validator(mode="after")
    def _case_folding_needs_a_rule(self) -> Tokenizer:
        if self.lowercase and self.normalization == "identity":
            raise MisfitError(
                "lowercase", "needs normalization nmt_nfkc or nfkc; identity changes nothing"
            )
        return self


class Initializer(Section):
    """A Keras initializer with arguments."""

    model_config = ConfigDict(extra="allow")
    name: InitializerName
    """Its Keras name; the other keys are its arguments."""


class SideFiles(Section):
    """A file for each side; null leaves that side to the initializer."""

    source: str | None = None
    """For the source vocabulary."""
    target: str | None = None
    """For the target vocabulary."""


class Embedding(Section):
    """The tables that turn ids into vectors."""

    size: Count = 256
    """Length of a vector."""
    initializer: InitializerName | Initializer = Initializer.model_validate(
        {"name": "random_normal", "stddev": 0.25}
    )
    """Start values: a Keras initializer by name, or {name: …, its arguments}.

    Keras's own default, uniform within 0.05, starts recurrent layers on inputs near
    zero: on Multi30k it took twice the steps to the same loss.
    """
    vectors: str | SideFiles | None = None
    """Start values from files: word vectors as text (`word v1 … vn`), or an .npy array (types, size)."""
    trainable: bool = True
    """false keeps the start values."""
    shared: bool = False
    """One table for both sides."""
    tied: bool = False
    """The output layer is the target table, transposed (https://arxiv.org/abs/1608.05859)."""

    @property
    def files(self) -> SideFiles:
        """`vectors`, side by side."""
        if isinstance(self.vectors, str):
            return SideFiles(source=self.vectors, target=self.vectors)
        return self.vectors or SideFiles()


class Encoder(Section):
    """Reads the source."""

    layers: Count = 1
    """Recurrent layers; from the second on with a residual connection."""
    units: Count = 256
    """Units a direction."""
    bidirectional: bool = True
    """Read from both ends and concatenate."""

    @property
    def width(self) -> int:
        """Size of a memory vector."""
        return self.units * (2 if self.bidirectional else 1)


class Decoder(Section):
    """Writes the target."""

    layers: Count = 1
    """Recurrent layers; from the second on with a residual connection."""
    units: Count = 512
    """Units a layer."""
    attention: Literal["none", "dot", "general", "additive"] = "general"
    """Luong's `dot` and `general` (https://arxiv.org/abs/1508.04025), Bahdanau's `additive` scores (https://arxiv.org/abs/1409.0473)."""
    initial_state: Literal["last", "mean"] = "last"
    """The encoder's last states, or the mean of its memory."""


class Model(Section):
    """The encoder-decoder."""

    architecture: Literal["lstm", "gru"] = "lstm"
    """The recurrent cell of both sides."""
    embedding: Embedding = Embedding()
    """The tables that turn ids into vectors."""
    encoder: Encoder = Encoder()
    """Reads the source."""
    decoder: Decoder = Decoder()
    """Writes the target."""
    dropout: Fraction = 0.3
    """On embeddings, between layers, and before the output layer."""

    @model_validator(mode="after")
    def _widths_fit(self) -> Model:
        if self.decoder.attention == "dot" and self.encoder.width != self.decoder.units:
            raise MisfitError(
                "decoder.attention",
                f"dot compares vectors of one size, but the encoder gives {self.encoder.width}"
                f" and the decoder {self.decoder.units}; choose general or additive",
            )
        return self


class Optimizer(Section):
    """Takes the gradient step."""

    name: OptimizerName = "adam"
    """An optimizer by its Keras name."""
    learning_rate: Positive = 5.0e-4
    """Peak rate; the schedule scales it."""
    clip_norm: Positive | None = 1.0
    """Bound on the global norm of the gradient; null: none."""
    arguments: dict[str, float | bool] = {}
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
    batch_tokens: Count | None = 4096
    """Padded tokens of the longer side in a batch; null where batch_size is set."""
    batch_size: Count | None = None
    """Sentence pairs in a batch, instead of batch_tokens."""
    optimizer: Optimizer = Optimizer()
    """Takes the gradient step."""
    schedule: Schedule = Schedule()
    """The learning rate over time."""
    label_smoothing: Fraction = 0.1
    """Share of the target probability spread over all types (https://arxiv.org/abs/1512.00567)."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of products in training; auto is bfloat16 where the processor has instructions for it."""
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


class Decoding(Section):
    """How translations are searched for."""

    max_length: Count = 200
    """Pieces of a translation, at most."""
    max_length_ratio: Positive = 2.0
    """Pieces of a translation for each piece of its source, 10 besides, at most."""
    batch_size: Count = 128
    """Sentences translated together."""


class FileFingerprint(Section):
    """A file as it was when training began."""

    key: str
    """The setting that names it."""
    path: str
    """Where it lay."""
    sha256: str
    """What it held."""


class Resolved(Section):
    """What the program chose or found; written by it, not by people."""

    precision: Literal["float32", "bfloat16"]
    """What `auto` came to."""
    decay_steps: Count | None = None
    """Where cosine comes down; a training that goes on longer keeps its curve."""
    files: list[FileFingerprint]
    """The corpora and vectors, with a fingerprint of their content."""
    versions: dict[str, str]
    """The packages that a result may depend on."""


class Config(Section):
    """The whole configuration of a run."""

    data: Data
    """Where the sentence pairs come from."""
    tokenizer: Tokenizer = Tokenizer()
    """How sentences are cut into pieces."""
    model: Model = Model()
    """The encoder-decoder."""
    training: Training = Training()
    """How the weights are found."""
    decoding: Decoding = Decoding()
    """How translations are searched for."""
    resolved: Resolved | None = None
    """In the config of a run: what the program chose or found."""

    @property
    def resolved_training(self) -> Training:
        """The training section with what was resolved in place of what was asked for."""
        assert self.resolved is not None
        schedule = self.training.schedule.model_copy(
            update={"decay_steps": self.resolved.decay_steps}
        )
        found = {"schedule": schedule, "precision": self.resolved.precision}
        return self.training.model_copy(update=found)

    @model_validator(mode="after")
    def _sections_fit(self) -> Config:
        if self.model.embedding.shared and not self.tokenizer.shared:
            raise MisfitError(
                "model.embedding.shared", "needs tokenizer.shared: true (one table, one vocabulary)"
            )
        if self.data.validation is None and self.training.schedule.name == "plateau":
            raise MisfitError(
                "training.schedule.name", "plateau watches the validation loss; set data.validation"
            )
        return self
