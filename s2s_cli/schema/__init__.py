"""The configuration: every setting, its default, and what it means.

A default is written here and nowhere else. The attribute docstrings become the
descriptions in `s2s schema`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from s2s_cli.schema.data import Corpus, Data, Files, Tokenizer, Validation
from s2s_cli.schema.model import (
    Decoder,
    Embedding,
    Encoder,
    Initializer,
    InitializerName,
    Model,
    SideFiles,
)
from s2s_cli.schema.section import Count, MisfitError, Positive, Section
from s2s_cli.schema.training import OptimizerName, Schedule, Training

__all__ = [
    "MOST_CANDIDATES",
    "Config",
    "Corpus",
    "Data",
    "Decoder",
    "Decoding",
    "Embedding",
    "Encoder",
    "FileFingerprint",
    "Files",
    "Initializer",
    "InitializerName",
    "Model",
    "OptimizerName",
    "Resolved",
    "Schedule",
    "Section",
    "SideFiles",
    "Tokenizer",
    "Training",
    "Validation",
]


# What a run keeps for each source piece, and so the longest shortlist.
MOST_CANDIDATES = 64


class Decoding(Section):
    """How translations are searched for."""

    beam_size: Count = 1
    """Hypotheses that are kept a sentence; 1 is greedy search."""
    n_best: Count = 1
    """Hypotheses that are given back a sentence, at most beam_size."""
    length_penalty: Annotated[float, Field(ge=0.0)] = 1.0
    """A hypothesis is scored by log probability / length**length_penalty, `</s>` counted."""
    shortlist: Annotated[int, Field(ge=1, le=MOST_CANDIDATES)] | None = None
    """Target types that are scored for each piece of the source, beside some that are
    frequent; null: all types are. The run learns from its corpus which they are.
    Probabilities are then those among these types."""
    precision: Literal["auto", "float32", "bfloat16", "int8"] = "float32"
    """Of weights and products; auto is the fastest that the processor has instructions for.
    Both others round: one translation in some becomes another, not a worse one. int8 needs VNNI."""
    min_length: Annotated[int, Field(ge=0)] = 0
    """Pieces of a translation, at least, unless max_length or the ratio allow fewer."""
    max_length: Count = 200
    """Pieces of a translation, at most."""
    max_length_ratio: Positive = 2.0
    """Pieces of a translation for each piece of its source, 10 besides, at most."""
    max_source_length: Count | None = None
    """Pieces of a source that are translated at once; null: data.max_length. A model says
    little of use about more than it was trained on."""
    long_sources: Literal["split", "truncate"] = "split"
    """What becomes of a longer source: it is translated in parts, cut behind sentences or
    before words, or its rest is left out."""
    batch_size: Count = 128
    """Sentences translated together; fewer take less memory. A batch is on its way on each thread."""

    @model_validator(mode="after")
    def _bounds_fit(self) -> Decoding:
        if self.min_length > self.max_length:
            raise MisfitError(
                "min_length", f"is {self.min_length}, above max_length, {self.max_length}"
            )
        if self.n_best > self.beam_size:
            raise MisfitError(
                "n_best",
                f"is {self.n_best}, but the beam holds {self.beam_size}; raise decoding.beam_size",
            )
        return self


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
    batch_tokens: Count | None = None
    """What `auto` came to."""
    decay_steps: Count | None = None
    """Where cosine comes down; a training that goes on longer keeps its curve."""
    files: list[FileFingerprint]
    """The corpora and vectors, with a fingerprint of their content."""
    versions: dict[str, str]
    """The packages that a result may depend on."""
    forced: list[str] = Field(default_factory=list)
    """Changes that were made with --force, and the step from which each holds."""


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
        found: dict[str, object] = {"schedule": schedule, "precision": self.resolved.precision}
        if self.training.batch_tokens == "auto":
            found["batch_tokens"] = self.resolved.batch_tokens
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
