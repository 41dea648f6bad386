"""What the section `model` has in common in all families of models."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import ConfigDict

from s2s_cli.config.schema.section import Count, FileName, Fraction, OnResume, Section

InitializerName = Literal[
    "constant", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "identity",
    "lecun_normal", "lecun_uniform", "normal", "ones", "orthogonal", "random_normal",
    "random_uniform", "truncated_normal", "uniform", "variance_scaling", "zeros",
]  # fmt: skip


class Initializer(Section):
    """A Keras initializer with arguments."""

    model_config = ConfigDict(extra="allow")
    name: InitializerName
    """The initializer's Keras name. All other keys are its arguments."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of the initializer."""
        return dict(self.model_extra or {})


class SideFiles(Section):
    """One file for each side; null leaves that side to the initializer."""

    source: FileName | None = None
    """File for the source vocabulary."""
    target: FileName | None = None
    """File for the target vocabulary."""


class Embedding(Section):
    """The embedding tables, which map token ids to vectors."""

    size: Count = 256
    """Length of an embedding vector."""
    shared: bool = False
    """Use one table for source and target. Needs tokenizer.shared."""
    tied: bool = False
    """Use the transposed target table as the output layer (https://arxiv.org/abs/1608.05859)."""
    initializer: InitializerName | Initializer = Initializer.model_validate(
        {"name": "random_normal", "stddev": 0.25}
    )
    """Initial values: the name of a Keras initializer, or {name: NAME, …its arguments}. The default
    of Keras, uniform within 0.05, feeds recurrent layers values near zero; on Multi30k it took twice
    the steps to reach the same loss."""
    vectors: FileName | SideFiles | None = None
    """Initial values from files: word vectors as text (`word v1 … vn`), or a .npy array of shape
    (vocab_size, size). One file for both sides, or {source: FILE, target: FILE}."""
    trainable: bool = True
    """Train the tables; false keeps their initial values."""

    @property
    def files(self) -> SideFiles:
        """`vectors` as one file for each side."""
        if isinstance(self.vectors, str):
            return SideFiles(source=self.vectors, target=self.vectors)
        return self.vectors or SideFiles()


class ModelSettings(Section):
    """The encoder-decoder. Each family of models has a subclass with its own settings."""

    family: ClassVar[str]
    """Dotted name of the module that implements the family."""
    default_schedule: ClassVar[Literal["constant", "inverse_sqrt"]] = "constant"
    """What `training.schedule.name: auto` chooses."""

    architecture: str
    """Kind of model. The other settings of this section depend on it."""
    embedding: Embedding = Embedding()
    """The embedding tables, which map token ids to vectors."""
    dropout: Annotated[Fraction, OnResume.FORCE] = 0.3
    """Share of activations that are set to zero in training."""

    @property
    def position_limit(self) -> int | None:
        """How many positions either side may have, `</s>` counted; None: any number."""
        return None

    @property
    def longest_sentence(self) -> int | None:
        """How many tokens either side may have, without `</s>`; None: any number."""
        return None if self.position_limit is None else self.position_limit - 1

    def beyond_positions(self, source_length: int | None) -> str | None:
        """What is wrong with sources of so many tokens, or None."""
        longest = self.longest_sentence
        if longest is None or source_length is None or source_length <= longest:
            return None
        return f"is {source_length}, but model.max_positions allows {longest} tokens and `</s>`"

    def bounded_source(self, tokens: int) -> int:
        """`tokens` of a source, without `</s>`, or as many as the model has positions for."""
        return min(tokens, self.longest_sentence or tokens)

    def bounded_target(self, tokens: int) -> int:
        """`tokens` of a translation, with `</s>`, or as many as the model has positions for."""
        return min(tokens, self.position_limit or tokens)

    @classmethod
    def architectures(cls) -> tuple[str, ...]:
        """The values of `architecture` that select this family."""
        return get_args(cls.model_fields["architecture"].annotation)
