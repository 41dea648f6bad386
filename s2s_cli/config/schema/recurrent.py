"""The section `model` of the recurrent family: LSTM and GRU encoder-decoders."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import model_validator

from s2s_cli.config.schema.model import ModelSettings
from s2s_cli.config.schema.section import Count, Fraction, MisfitError, OnResume, Section


class Encoder(Section):
    """The recurrent encoder."""

    layers: Count = 1
    """Recurrent layers. All but the first have a residual connection."""
    units: Count = 256
    """Units of a layer in one direction."""
    bidirectional: bool = True
    """Read the source in both directions and concatenate the outputs."""

    @property
    def width(self) -> int:
        """Size of an encoder output vector."""
        return self.units * (2 if self.bidirectional else 1)


class Decoder(Section):
    """The recurrent decoder."""

    layers: Count = 1
    """Recurrent layers. All but the first have a residual connection."""
    units: Count = 512
    """Units of a layer."""
    attention: Literal["none", "dot", "general", "additive"] = "general"
    """Attention scores: Luong's `dot` and `general` (https://arxiv.org/abs/1508.04025), Bahdanau's
    `additive` (https://arxiv.org/abs/1409.0473), or no attention."""
    attention_layer: Literal["last", "first"] = "last"
    """The layer whose output is the query of the attention. With `first`, what is attended to is an
    input of the layers above it, too (https://arxiv.org/abs/1609.08144)."""
    input_feeding: bool = False
    """Concatenate the readout vector of the position before with each target embedding
    (https://arxiv.org/abs/1508.04025). Training then goes from one position to the next, and is
    slower."""
    coverage: bool = False
    """Let the attention scores of a source position depend on the attention that it had at the
    positions before (https://arxiv.org/abs/1601.04811)."""
    initial_state: Literal["last", "mean"] = "last"
    """What the decoder's initial state is computed from: the encoder's last states, or the mean of
    its outputs."""

    @property
    def reads_memory(self) -> bool:
        """Whether the encoder's outputs are read, and not only its states."""
        return self.attention != "none" or self.initial_state == "mean"

    @property
    def query_layer(self) -> int | None:
        """The number of the layer whose output is the query of the attention; None without it."""
        if self.attention == "none":
            return None
        return 0 if self.attention_layer == "first" else self.layers - 1


class RecurrentModel(ModelSettings):
    """A recurrent encoder-decoder with attention."""

    family: ClassVar[str] = "s2s_cli.model.recurrent"

    architecture: Literal["lstm", "gru"] = "lstm"
    """Kind of recurrent layer in encoder and decoder."""
    encoder: Encoder = Encoder()
    """The recurrent encoder."""
    decoder: Decoder = Decoder()
    """The recurrent decoder."""
    dropout: Annotated[Fraction, OnResume.FORCE] = 0.3
    """Share of activations that are set to zero in training: of embeddings, between layers, and
    before the output layer."""

    variational_dropout: bool = False
    """Draw what `dropout` sets to zero once for a sentence, the same at all of its positions
    (https://arxiv.org/abs/1512.05287)."""
    recurrent_dropout: Annotated[Fraction, OnResume.FORCE] = 0.0
    """Share of the hidden units that are set to zero where a recurrent layer multiplies the hidden
    state of the position before, the same at all positions of a sentence. LSTM cells are not
    changed. On a GPU, such layers do not use cuDNN."""
    layer_norm: bool = False
    """Normalise the output of each recurrent layer (https://arxiv.org/abs/1607.06450) for the layer
    above it, the attention and the output layer; residual connections add what is not normalised.
    Scores of `dot` and `general` attention are then divided by the square root of decoder.units."""

    @property
    def hidden_size(self) -> int:
        """Size of the vectors that the output layer gets."""
        return self.embedding.size if self.embedding.tied else self.decoder.units

    @model_validator(mode="after")
    def _decoder_fits(self) -> RecurrentModel:
        decoder, misfits = self.decoder, []
        if decoder.attention == "dot" and self.encoder.width != decoder.units:
            misfits.append(
                (
                    "decoder.attention",
                    f"dot compares vectors of one size, but the encoder gives {self.encoder.width}"
                    f" and the decoder {decoder.units}; choose general or additive",
                )
            )
        if decoder.attention == "none":
            of_attention = {
                "attention_layer": decoder.attention_layer == "first",
                "input_feeding": decoder.input_feeding,
                "coverage": decoder.coverage,
            }
            misfits += [
                (f"decoder.{name}", "needs attention, and decoder.attention is none")
                for name, is_used in of_attention.items()
                if is_used
            ]
        if misfits:
            raise MisfitError(*misfits)
        return self
