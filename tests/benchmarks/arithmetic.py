"""How many products a model takes, counted from its weights."""

from __future__ import annotations

from dataclasses import dataclass

from s2s_cli.model.seq2seq import Seq2Seq


@dataclass(frozen=True)
class MatrixParameters:
    """Parameters that take part in a matrix product for each source and each target token.

    A table that is only looked up takes part in none; one that is tied to the output
    layer does there. The products of the attention itself (2 × S × U a target token) and
    all that goes value by value are not counted, so shares of the limit are understated.
    """

    source: int
    target: int

    def training(self, source_tokens: float, target_tokens: float) -> float:
        """Operations of forward and backward pass: two a parameter, three times."""
        return 6 * (self.source * source_tokens + self.target * target_tokens)

    def decoding(self, source_tokens: float, target_tokens: float) -> float:
        """Operations of a search; with a beam, the tokens of all its rows."""
        return 2 * (self.source * source_tokens + self.target * target_tokens)


def matrix_parameters(seq2seq: Seq2Seq) -> MatrixParameters:
    """Counts the matrices of the layers, by the side whose tokens go through them."""
    layers = seq2seq.layers
    source = [*layers.encoder_layers, layers.keys]
    target = [*layers.decoder_layers, layers.query, layers.readout, layers.output]
    if layers.output is None:
        target.append(layers.target_embedding)
    return MatrixParameters(_matrices(source), _matrices(target))


def _matrices(layers: list) -> int:
    weights = [w for layer in layers if layer is not None for w in layer.trainable_weights]
    return sum(w.shape[0] * w.shape[1] for w in weights if "kernel" in w.name or "embed" in w.name)
