"""The section `model`: the encoder-decoder."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, model_validator

from s2s_cli.schema.section import Count, Fraction, MisfitError, Section

InitializerName = Literal[
    "constant", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "identity",
    "lecun_normal", "lecun_uniform", "normal", "ones", "orthogonal", "random_normal",
    "random_uniform", "truncated_normal", "uniform", "variance_scaling", "zeros",
]  # fmt: skip


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
