"""The section `model` of the Transformer family."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from s2s_cli.config.schema.model import Embedding, Initializer, InitializerName, ModelSettings
from s2s_cli.config.schema.section import Count, Fraction, MisfitError, OnResume, Positive, Section

DEFAULT_POSITIONS = 512


class TransformerEmbedding(Embedding):
    """The embedding tables, which map token ids to vectors."""

    size: Count = 256
    """Length of an embedding vector, and of the output of every layer."""
    scale: bool = True
    """Multiply embedding vectors by the square root of their length, as the default initializer
    wants. For word vectors from a file, false is usually better."""
    initializer: InitializerName | Initializer = Initializer.model_validate(
        {
            "name": "variance_scaling",
            "scale": 1.0,
            "mode": "fan_out",
            "distribution": "untruncated_normal",
        }
    )
    """Initial values: the name of a Keras initializer, or {name: NAME, …its arguments}. The default
    is normal with variance 1 / size, which `scale` turns into 1."""


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
    default_schedule: ClassVar[Literal["constant", "inverse_sqrt"]] = "inverse_sqrt"

    architecture: Literal["transformer"] = "transformer"
    """Kind of model."""
    embedding: TransformerEmbedding = TransformerEmbedding()
    """The embedding tables, which map token ids to vectors."""
    positions: Literal["sinusoidal", "learned"] = "sinusoidal"
    """What is added to the embeddings to encode the positions of their tokens: sines and cosines,
    for any number of positions, or a vector that is trained for each position."""
    max_positions: Annotated[int, Field(ge=2)] | None = None
    """Number of learned positions, of which `</s>` takes one; null: 512. Longer training pairs are
    left out, longer sources are split or truncated, and translations end there."""
    normalization: Literal["pre", "post"] = "pre"
    """What is normalised: pre, the input of each sublayer, which depends less on the warm-up
    (https://arxiv.org/abs/2002.04745); post, the sum of its input and output, as in the first
    paper."""
    initialization: Literal["default", "depth_scaled"] = "default"
    """Initial kernels of the layers: default, uniform by the rule of Glorot and Bengio; depth_scaled,
    those of layer l divided by the square root of l (https://arxiv.org/abs/1908.11365), with which
    post-normalised models of more than some six layers train."""
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

    layer_drop: Annotated[Fraction, OnResume.FORCE] = 0.0
    """Probability with which a step of training skips a layer of the encoder or the decoder, all of
    its sublayers and for all sentences (LayerDrop, https://arxiv.org/abs/1909.11556)."""

    @property
    def position_limit(self) -> int | None:
        """How many positions either side may have, `</s>` counted; None: any number."""
        if self.positions == "sinusoidal":
            return None
        return self.max_positions or DEFAULT_POSITIONS

    @model_validator(mode="after")
    def _heads_share_the_size(self) -> TransformerModel:
        size, misfits = self.embedding.size, []
        if size % self.heads:
            misfits.append(("heads", f"must divide embedding.size, {size}"))
        if self.positions == "sinusoidal" and size % 2:
            misfits.append(("embedding.size", "must be even for sinusoidal positions"))
        if self.positions == "sinusoidal" and self.max_positions is not None:
            misfits.append(("max_positions", "is used by `positions: learned` only"))
        if misfits:
            raise MisfitError(*misfits)
        return self
