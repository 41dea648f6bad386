"""The parts of a Transformer: each a frozen dataclass of callables with the arithmetic of one block.

The callables are Keras layers, or functions that are called in the same way.
Shapes: B sentences, T positions, P positions before them, S source positions, D model size, A
attention heads, V vocabulary size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import keras
from keras import ops

from s2s_cli.config.schema import TransformerModel
from s2s_cli.model.family import Tensor
from s2s_cli.model.layer_factory import LayerFactory

Function = Callable[..., Any]
_Part = TypeVar("_Part")
# What is added to a score where a query may not attend; float32 rounds the sum to this number.
MASKED = -1e9


@dataclass(frozen=True)
class Residual:
    """What surrounds a sublayer: layer normalisation, dropout, and the sum of input and output."""

    normalize: Function
    dropout: Function
    comes_first: bool
    """Whether the input of the sublayer is normalised, and not the sum."""

    def before(self, inputs: Tensor) -> Tensor:
        """inputs (B,T,D) → what the sublayer is called on."""
        return self.normalize(inputs) if self.comes_first else inputs

    def after(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        """The inputs, and the outputs of the sublayer → their sum (B,T,D)."""
        # Sums are float32 when products are bfloat16: each goes through all layers above.
        added = ops.cast(inputs, "float32") + ops.cast(self.dropout(outputs), "float32")
        return added if self.comes_first else self.normalize(added)


@dataclass(frozen=True)
class Projections:
    """Several dense layers on the same inputs, whose outputs are shared by the heads."""

    layers: tuple[Any, ...]
    heads: int
    scales: tuple[float, ...]
    """What the output of each layer is multiplied by."""

    def __call__(self, inputs: Tensor) -> list[Tensor]:
        """inputs (B,T,D) → the output of each layer, (B,A,T,D/A)."""
        return [
            split_heads(layer(inputs) * scale, self.heads)
            for layer, scale in zip(self.layers, self.scales, strict=True)
        ]


def split_heads(vectors: Tensor, heads: int) -> Tensor:
    """(B,T,D) → (B,A,T,D/A)."""
    if vectors.shape[1] == 1:
        return ops.reshape(vectors, (-1, heads, 1, vectors.shape[-1] // heads))
    # A reshape would need to know T, which no symbolic tensor does.
    return ops.stack(ops.split(vectors, heads, axis=-1), axis=1)


def join_heads(vectors: Tensor) -> Tensor:
    """(B,A,T,D/A) → (B,T,D)."""
    _, heads, positions, size = vectors.shape
    if positions == 1:
        return ops.reshape(vectors, (-1, 1, heads * size))
    return ops.concatenate(ops.unstack(vectors, axis=1), axis=-1)


@dataclass(frozen=True)
class Attention:
    """Scaled dot-product attention of several heads; see `attend`."""

    project: Function
    """inputs (B,T,D) → what is made of them: query, keys and values, or the query alone; the
    query is scaled by 1 / sqrt(D/A), as the variance of a dot product grows with its length."""
    softmax: Function
    weights_dropout: Function
    join: Function
    output: Function

    def attend(
        self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """query (B,A,T,D/A), keys and values (B,A,S,D/A), mask (B or 1,1,T or 1,S) of
        `score_mask`, or None → (B,T,D), and the weights (B,A,T,S) float32."""
        scores = ops.matmul(query, ops.transpose(keys, (0, 1, 3, 2)))
        scores = ops.cast(scores, "float32")
        if mask is not None:
            scores = scores + mask
        weights = self.softmax(scores)
        dropped = ops.cast(self.weights_dropout(weights), values.dtype)
        return self.output(self.join(ops.matmul(dropped, values))), weights


@dataclass(frozen=True)
class FeedForward:
    """Two dense layers, the first with an activation."""

    expand: Function
    dropout: Function
    contract: Function

    def __call__(self, inputs: Tensor) -> Tensor:
        """inputs (B,T,D) → (B,T,D)."""
        return self.contract(self.dropout(self.expand(inputs)))


@dataclass(frozen=True)
class EncoderLayer:
    """One layer of the encoder."""

    attention: Attention
    attention_residual: Residual
    feed_forward: FeedForward
    feed_forward_residual: Residual

    def __call__(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """inputs (B,S,D), mask (B,1,1,S) of `score_mask` → (B,S,D)."""
        attention = self.attention
        query, keys, values = attention.project(self.attention_residual.before(inputs))
        found, _ = attention.attend(query, keys, values, mask)
        inputs = self.attention_residual.after(inputs, found)
        found = self.feed_forward(self.feed_forward_residual.before(inputs))
        return self.feed_forward_residual.after(inputs, found)


@dataclass(frozen=True)
class DecoderLayer:
    """One layer of the decoder."""

    attention: Attention
    attention_residual: Residual
    memory_attention: Attention
    memory_residual: Residual
    feed_forward: FeedForward
    feed_forward_residual: Residual

    def __call__(
        self,
        inputs: Tensor,
        cache: tuple[Tensor, Tensor],
        mask: Tensor | None,
        memory: tuple[Tensor, Tensor],
        memory_mask: Tensor,
        beam_size: int,
    ) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
        """Returns outputs (B,T,D), the next cache, and the weights on the memory (B,A,T,S).

        `inputs` (B,T,D); `cache`: keys and values (B,A,P,D/A) of the positions before; `mask`
        (1,1,T,P+T), or None where each may attend to all; `memory`: keys and values (B,A,S,D/A);
        `memory_mask` (B,1,1,S). In beam search, the memory has B/K rows. Masks are of `score_mask`.
        """
        attention = self.attention
        query, *new = attention.project(self.attention_residual.before(inputs))
        keys, values = (
            ops.concatenate([ops.cast(old, one.dtype), one], axis=2)
            for old, one in zip(cache, new, strict=True)
        )
        found, _ = attention.attend(query, keys, values, mask)
        inputs = self.attention_residual.after(inputs, found)
        found, weights = self._look_up(inputs, memory, memory_mask, beam_size)
        inputs = self.memory_residual.after(inputs, found)
        found = self.feed_forward(self.feed_forward_residual.before(inputs))
        return self.feed_forward_residual.after(inputs, found), (keys, values), weights

    def _look_up(
        self, inputs: Tensor, memory: tuple[Tensor, Tensor], mask: Tensor, beam_size: int
    ) -> tuple[Tensor, Tensor]:
        """The attention over the source, (B,T,D), and its weights, (B,A,T,S)."""
        attention = self.memory_attention
        (query,) = attention.project(self.memory_residual.before(inputs))
        if beam_size == 1:
            return attention.attend(query, *memory, mask)
        # The K rows of a sentence are K queries to its memory.
        _, heads, _, size = query.shape
        query = ops.transpose(ops.reshape(query, (-1, beam_size, heads, size)), (0, 2, 1, 3))
        found, weights = attention.attend(query, *memory, mask)
        weights = ops.transpose(weights, (0, 2, 1, 3))
        weights = ops.reshape(weights, (-1, heads, 1, ops.shape(weights)[-1]))
        return ops.reshape(found, (-1, 1, found.shape[-1])), weights


@dataclass(frozen=True)
class Sinusoids:
    """Position vectors of sines, then cosines, of section 3.5 of https://arxiv.org/abs/1706.03762:
    value i of either half is that of the angle position / 10000**(2i / D)."""

    size: int

    def __call__(self, positions: Tensor) -> Tensor:
        """positions (1,T) int32 → (1,T,D) float32."""
        half = self.size // 2
        frequencies = [10_000.0 ** (-index / half) for index in range(half)]
        column = ops.expand_dims(ops.cast(positions, "float32"), -1)
        angles = column * ops.convert_to_tensor(frequencies, "float32")
        return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)


def score_mask(is_allowed: Tensor) -> Tensor:
    """Which scores count, bool → what is added to them, float32: 0, or MASKED."""
    return ops.cast(ops.logical_not(is_allowed), "float32") * MASKED


def softmax(scores: Tensor) -> Tensor:
    """scores (…,S) → weights (…,S) that sum to 1."""
    # Keras's own function warns where S is 1, as it is at the first position.
    exponentials = ops.exp(scores - ops.max(scores, axis=-1, keepdims=True))
    return exponentials / ops.sum(exponentials, axis=-1, keepdims=True)


# Making them.


def make_encoder_layer(
    settings: TransformerModel, index: int, factory: LayerFactory
) -> EncoderLayer:
    """The encoder layer with this number."""
    name, factory = f"encoder_{index}", _at_depth(settings, index, factory)
    return EncoderLayer(
        attention=_make_self_attention(settings, f"{name}_attention", factory),
        attention_residual=_make_residual(settings, f"{name}_attention", factory),
        feed_forward=_make_feed_forward(settings, f"{name}_feed_forward", factory),
        feed_forward_residual=_make_residual(settings, f"{name}_feed_forward", factory),
    )


def make_decoder_layer(
    settings: TransformerModel, index: int, factory: LayerFactory
) -> DecoderLayer:
    """The decoder layer with this number, without the layers that `make_memory_projections` makes."""
    name, factory = f"decoder_{index}", _at_depth(settings, index, factory)
    return DecoderLayer(
        attention=_make_self_attention(settings, f"{name}_attention", factory),
        attention_residual=_make_residual(settings, f"{name}_attention", factory),
        memory_attention=_make_attention(settings, f"{name}_memory", ("query",), factory),
        memory_residual=_make_residual(settings, f"{name}_memory", factory),
        feed_forward=_make_feed_forward(settings, f"{name}_feed_forward", factory),
        feed_forward_residual=_make_residual(settings, f"{name}_feed_forward", factory),
    )


def make_memory_projections(settings: TransformerModel, factory: LayerFactory) -> Projections:
    """Makes the dense layers that give each decoder layer its keys and values of the memory."""
    made = [
        _make_projections(
            settings,
            (f"decoder_{index}_memory_keys", f"decoder_{index}_memory_values"),
            _at_depth(settings, index, factory),
        )
        for index in range(settings.decoder.layers)
    ]
    return Projections(
        tuple(layer for one in made for layer in one.layers),
        settings.heads,
        tuple(scale for one in made for scale in one.scales),
    )


def _at_depth(settings: TransformerModel, index: int, factory: LayerFactory) -> LayerFactory:
    """The factory of the layers with this number.

    With `depth_scaled`, the bounds of their initial kernels are divided by sqrt(number + 1): the
    deeper a layer, the less its sublayers add to what the residual connections carry
    (https://arxiv.org/abs/1908.11365, section 4, with alpha = 1).
    """
    if settings.initialization == "default":
        return factory
    return replace(factory, kernel_gain=1 / math.sqrt(index + 1))


def _make_projections(
    settings: TransformerModel, names: tuple[str, ...], factory: LayerFactory
) -> Projections:
    size = settings.embedding.size

    def scale(name: str) -> float:
        return 1 / math.sqrt(size // settings.heads) if name.endswith("query") else 1.0

    # A bias of the keys would add the same to all scores of a query, and softmax cancels that.
    layers = tuple(factory.dense(name, size, use_bias=not name.endswith("keys")) for name in names)
    return Projections(layers, settings.heads, tuple(map(scale, names)))


def make_normalization(settings: TransformerModel, name: str, factory: LayerFactory) -> keras.Layer:
    """Layer normalisation (https://arxiv.org/abs/1607.06450)."""
    return factory.layer_norm(f"{name}_norm", settings.layer_norm_epsilon)


def _make_self_attention(settings: TransformerModel, name: str, factory: LayerFactory) -> Attention:
    return _make_attention(settings, name, ("query", "keys", "values"), factory)


def _make_attention(
    settings: TransformerModel, name: str, kinds: tuple[str, ...], factory: LayerFactory
) -> Attention:
    names = tuple(f"{name}_{kind}" for kind in kinds)
    return Attention(
        project=_make_projections(settings, names, factory),
        softmax=softmax,
        weights_dropout=factory.dropout(f"{name}_weights_dropout", settings.attention_dropout),
        join=join_heads,
        output=factory.dense(f"{name}_output", settings.embedding.size),
    )


def _make_residual(settings: TransformerModel, name: str, factory: LayerFactory) -> Residual:
    return Residual(
        normalize=make_normalization(settings, name, factory),
        dropout=factory.dropout(f"{name}_dropout", settings.dropout),
        comes_first=settings.normalization == "pre",
    )


def _make_feed_forward(settings: TransformerModel, name: str, factory: LayerFactory) -> FeedForward:
    return FeedForward(
        expand=factory.dense(
            f"{name}_expand", settings.feed_forward, activation=settings.activation
        ),
        dropout=factory.dropout(f"{name}_hidden_dropout", settings.activation_dropout),
        contract=factory.dense(f"{name}_contract", settings.embedding.size),
    )


def replaced(part: _Part, replace_one: Callable[[Any], Any]) -> _Part:
    """Returns `part` with each callable in it, at any depth, replaced by `replace_one(callable)`.

    Where that returns None, the parts of the callable are replaced, if it has any.
    """
    found = replace_one(part)
    if found is not None:
        return found  # type: ignore[no-any-return]
    if isinstance(part, tuple):
        return tuple(replaced(one, replace_one) for one in part)  # type: ignore[return-value]
    if not is_dataclass(part):
        return part
    changed = {
        field.name: replaced(getattr(part, field.name), replace_one) for field in fields(part)
    }
    return replace(part, **changed)  # type: ignore[type-var]
