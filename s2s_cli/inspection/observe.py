"""Layers that report what they return, in place of those of a model; nothing else changes.

Shapes: B sentences, T positions, S positions that are attended to, D model size or units, A heads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import singledispatch
from typing import Any

from s2s_cli.errors import S2SError
from s2s_cli.model.family import Layers, Tensor
from s2s_cli.model.recurrent.model import RecurrentLayers
from s2s_cli.model.transformer.layers import Attention, DecoderLayer, EncoderLayer
from s2s_cli.model.transformer.model import TransformerLayers

# note(name, value): a hidden state (B,T,D), or, where the name ends in _attention, weights (B,A,T,S).
Note = Callable[[str, Tensor], None]
Function = Callable[..., Any]


@singledispatch
def observed(layers: Layers, note: Note) -> Layers:
    """The layers, which report the output of the embedding and of each layer of both sides.

    Names are those of the layers in the model. Raises S2SError for a family that cannot report.
    """
    raise S2SError(
        f"The hidden states of {type(layers).__name__} cannot be shown.",
        "s2s_cli/inspection/observe.py says how a family reports them.",
    )


@observed.register
def _(layers: TransformerLayers, note: Note) -> TransformerLayers:
    def noting_attention(side_layers: tuple[Function, ...], side: str) -> tuple[Function, ...]:
        return tuple(
            _with_noted_attention(layer, f"{side}_{index}", note)
            for index, layer in enumerate(side_layers)
        )

    return replace(
        layers,
        source_dropout=_noting(layers.source_dropout, "encoder_embedding", note),
        target_dropout=_noting(layers.target_dropout, "decoder_embedding", note),
        encoder=_noting_each(noting_attention(layers.encoder, "encoder"), "encoder", note),
        decoder=_noting_each(noting_attention(layers.decoder, "decoder"), "decoder", note),
        encoder_norm=layers.encoder_norm and _noting(layers.encoder_norm, "encoder_norm", note),
        decoder_norm=layers.decoder_norm and _noting(layers.decoder_norm, "decoder_norm", note),
    )


def _with_noted_attention(layer: Any, name: str, note: Note) -> Any:
    assert isinstance(layer, EncoderLayer | DecoderLayer)

    def noting(attention: Attention, kind: str) -> Attention:
        return replace(attention, softmax=_noting(attention.softmax, f"{name}_{kind}", note))

    changed = replace(layer, attention=noting(layer.attention, "self_attention"))
    if isinstance(changed, DecoderLayer):
        changed = replace(
            changed, memory_attention=noting(changed.memory_attention, "memory_attention")
        )
    return changed


@observed.register
def _(layers: RecurrentLayers, note: Note) -> RecurrentLayers:
    return replace(
        layers,
        source_dropout=_noting(layers.source_dropout, "encoder_embedding", note),
        target_dropout=_noting(layers.target_dropout, "decoder_embedding", note),
        encoder=_noting_each(layers.encoder, "encoder", note),
        decoder=_noting_each(layers.decoder, "decoder", note),
        readout=layers.readout and _noting(layers.readout, "readout", note),
    )


def _noting_each(layers: tuple[Function, ...], side: str, note: Note) -> tuple[Function, ...]:
    return tuple(_noting(layer, f"{side}_{index}", note) for index, layer in enumerate(layers))


def _noting(function: Function, name: str, note: Note) -> Function:
    """The function, which reports what it returns, or the first of several values."""

    def run(*given: Any, **named: Any) -> Any:
        found = function(*given, **named)
        note(name, found[0] if isinstance(found, tuple | list) else found)
        return found

    return run
