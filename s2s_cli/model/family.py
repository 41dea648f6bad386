"""What a model family provides: its layers, and the functions that call them.

A family is a module, named by its settings class (`ModelSettings.family`), with the functions
of the protocol `Family`. It owns its layers, a frozen dataclass of callables that follows the
protocol `Layers`. Every model is made by calling `encode`, `decode` and `project` on some
inputs; a variant (faster in training, faster in search) is the same dataclass with some of its
callables replaced.

Shapes: B sentences, S source and T target positions, D memory size, H size of `hidden`,
V target vocabulary size, C candidate tokens.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from s2s_cli.config.schema import ModelSettings

if TYPE_CHECKING:
    from s2s_cli.model.dropout import DropoutDraws
    from s2s_cli.model.layer_factory import LayerFactory

Tensor = Any
Tensors = dict[str, Tensor]
# target candidates (C,) int32, or None for the whole vocabulary → the layers that score them.
InferenceLayers = Callable[[Tensor | None], "Layers"]


@dataclass(frozen=True)
class VocabSizes:
    """How many tokens the source and the target vocabulary have, the special ones counted."""

    source: int
    target: int


@dataclass(frozen=True)
class Encoded:
    """What the decoder needs to know about the source sentences, by name.

    `constants` do not change while a translation grows, such as memory (B,S,D), memory_mask
    (B,S) bool, and attention keys; `state` is what the decoder's cache starts from where the
    encoder provides it. The first axis of each is B.
    """

    constants: Tensors
    state: Tensors


@dataclass(frozen=True)
class Decoded:
    """hidden (B,T,H), the cache after the last position, attention (B,T,S) or None."""

    hidden: Tensor
    cache: Tensors
    attention: Tensor | None


class Layers(Protocol):
    """Every layer of a model, once, and the functions that call them."""

    @property
    def source_embedding(self) -> Any:
        """The source table, from `make_embeddings`; initial values may be loaded into it."""

    @property
    def target_embedding(self) -> Any:
        """The target table; the same layer where both sides share one."""

    def encode(self, source_ids: Tensor) -> Encoded:
        """source_ids (B,S) int32, 0 on the right → what the decoder needs."""

    def initial_cache(self, encoded: Encoded) -> Tensors:
        """The decoder's cache before the first position, with the dtypes that `decode` returns.

        An axis of length 0 is one that grows with the positions.
        """

    def decode(
        self, target_in_ids: Tensor, cache: Tensors, constants: Tensors, *, beam_size: int = 1
    ) -> Decoded:
        """target_in_ids (B,T) int32, and the cache of what came before them → Decoded.

        In beam search, ids (B×K,1) and the cache hold the K rows of a sentence next to each
        other, and the constants (B,…) stand once for all of them.
        """

    def project(self, hidden: Tensor) -> Tensor:
        """hidden (…,H) → logits (…,V) float32, or (…,C) over candidates."""

    def for_training(self, draws: DropoutDraws | None) -> Layers:
        """The layers of a training step: with dropout as drawn, without dropout for None."""

    def for_inference(self) -> InferenceLayers:
        """Layers for a search; called inside its graph, where the weights are read once."""

    def for_int8_inference(self) -> InferenceLayers:
        """The same with 8-bit products of the weights as they are now."""


class Family(Protocol):
    """The functions of a family's module."""

    def make_layers(self, settings: Any, sizes: VocabSizes, factory: LayerFactory) -> Layers:
        """Makes the layers."""

    def has_attention(self, settings: Any) -> bool:
        """Whether the decoder gives attention, from which alignments are made."""

    def parameter_count(self, settings: Any, sizes: VocabSizes) -> int:
        """How many weights the layers have, without making them."""

    def training_bytes_per_token(self, settings: Any, vocab_size: int, max_length: int) -> int:
        """About how much memory a training step takes for a position of a batch, in bytes.

        A position is one source and one target token together.
        """

    def products_per_token(self, settings: Any, sizes: VocabSizes) -> tuple[int, int]:
        """Multiplications of matrix products in a forward pass, for a source and a target token.

        What grows with the length of a sentence, such as attention, is left out.
        """


def family_of(settings: ModelSettings) -> Family:
    """The family that the settings belong to."""
    return cast(Family, importlib.import_module(settings.family))
