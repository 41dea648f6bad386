"""The section `model` of the Transformer family."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from s2s_cli.config.schema.model import Embedding, Initializer, InitializerName, ModelSettings
from s2s_cli.config.schema.section import Count, Fraction, MisfitError, OnResume, Positive, Section


class TransformerEmbedding(Embedding):
    """The embedding tables, which map token ids to vectors."""

    size: Count = 256
    """Length of an embedding vector, and of the output of every layer."""
    scale: bool = True
    """Multiply embedding vectors by the square root of their length."""
    initializer: InitializerName | Initializer = Initializer.model_validate(
        {
            "name": "variance_scaling",
            "scale": 1.0,
            "mode": "fan_out",
            "distribution": "untruncated_normal",
        }
    )
    """Initial values: the name of a Keras initializer, or {name: NAME, …its arguments}. The default
    is normal with variance 1 / size."""


class TransformerEncoder(Section):
    """The encoder of a Transformer."""

    layers: Count = 4
    """Layers, each with self-attention and a feed-forward network."""


class TransformerDecoder(Section):
    """The decoder of a Transformer."""

    layers: Count = 4
    """Layers, each with self-attention, attention to the source and a feed-forward network."""


class TransformerModel(ModelSettings):
    """A Transformer (https://arxiv.org/abs/1706.03762)."""

    family: ClassVar[str] = "s2s_cli.model.transformer"

    architecture: Literal["transformer"] = "transformer"
    """Kind of model."""
    embedding: TransformerEmbedding = TransformerEmbedding()
    """The embedding tables, which map token ids to vectors."""
    positions: Literal["sinusoidal", "learned"] = "sinusoidal"
    """What is added to an embedding to say where its token stands: sines and cosines, which have no
    limit, or a vector that is trained for each position."""
    max_positions: Annotated[int, Field(ge=2)] = 512
    """learned: the number of positions. Longer training pairs are left out, longer sources are
    split, and translations end there."""
    normalization: Literal["pre", "post"] = "pre"
    """Layer normalisation of the input of each sublayer, which trains without care
    (https://arxiv.org/abs/2002.04745), or of the sum of its input and its output."""
    layer_norm_epsilon: Positive = 1e-5
    """What layer normalisation adds to the variance."""
    heads: Count = 4
    """Attention heads. They share embedding.size."""
    feed_forward: Count = 1024
    """Units of the hidden layer of each feed-forward network."""
    activation: Literal["relu", "gelu", "silu"] = "relu"
    """Activation of that hidden layer. gelu is the exact one, with the error function."""
    encoder: TransformerEncoder = TransformerEncoder()
    """The encoder."""
    decoder: TransformerDecoder = TransformerDecoder()
    """The decoder."""
    dropout: Annotated[Fraction, OnResume.FORCE] = 0.3
    """Share of activations that are set to zero in training: of embeddings, and of the output of
    each sublayer."""
    attention_dropout: Annotated[Fraction, OnResume.FORCE] = 0.0
    """Share of attention weights that are set to zero in training."""
    activation_dropout: Annotated[Fraction, OnResume.FORCE] = 0.0
    """Share of the hidden units of feed-forward networks that are set to zero in training."""

    @property
    def longest_sentence(self) -> int | None:
        """The largest number of tokens of a sentence, beside which `</s>` takes a position."""
        return self.max_positions - 1 if self.positions == "learned" else None

    @model_validator(mode="after")
    def _heads_share_the_size(self) -> TransformerModel:
        size, misfits = self.embedding.size, []
        if size % self.heads:
            misfits.append(("heads", f"must divide embedding.size, {size}"))
        if self.positions == "sinusoidal" and size % 2:
            misfits.append(("embedding.size", "must be even for sinusoidal positions"))
        if misfits:
            raise MisfitError(*misfits)
        return self
