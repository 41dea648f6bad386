"""Embedding tables, the output layer that may share one, and initial values from a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from s2s_cli.config.schema import Embedding, Initializer, SideFiles
from s2s_cli.errors import ConfigError
from s2s_cli.model.family import Tensor, VocabSizes
from s2s_cli.model.layer_factory import LayerFactory
from s2s_cli.model.quantization import QuantizedProduct, numpy_values
from s2s_cli.text.tokenizer import Tokenizers
from s2s_cli.text.word_vectors import describe_skipped, read_word_vectors

Array = np.ndarray[Any, Any]


def make_embeddings(
    settings: Embedding, sizes: VocabSizes, factory: LayerFactory
) -> tuple[keras.Layer, keras.Layer]:
    """The source and the target table; the same layer twice where they are shared."""

    def table(name: str, vocab_size: int, *, tied: bool) -> keras.Layer:
        kind = layers.ReversibleEmbedding if tied else layers.Embedding
        initializer = _make_initializer(settings.initializer)
        return kind(
            vocab_size,
            settings.size,
            embeddings_initializer=factory.initializer(initializer, f"{name}/embeddings"),
            trainable=settings.trainable,
            dtype=factory.policy,
            name=name,
        )

    if settings.shared:
        shared = table("embedding", sizes.target, tied=settings.tied)
        return shared, shared
    source = table("source_embedding", sizes.source, tied=False)
    return source, table("target_embedding", sizes.target, tied=settings.tied)


def vocabulary_axis(path: str) -> tuple[str, int] | None:
    """The axis of a weight along which it has an entry for each token, after the side of the tokens;
    None for a weight that does not depend on a vocabulary."""
    axes = {
        "embedding/embeddings": ("target", 0),  # of a vocabulary that both sides share
        "source_embedding/embeddings": ("source", 0),
        "target_embedding/embeddings": ("target", 0),
        "output/kernel": ("target", 1),
        "output/bias": ("target", 0),
        "output_bias/kernel": ("target", 1),
    }
    return axes.get(path)


@dataclass(frozen=True)
class TiedOutput:
    """The target table, transposed, as the output layer, with or without a bias."""

    table: keras.Layer
    bias: keras.Layer | None
    """A dense layer without a bias of its own: for the input 1, it gives the bias of each token."""

    def __call__(self, hidden: Tensor) -> Tensor:
        """hidden (…,H) → logits (…,V)."""
        logits = self.table(hidden, reverse=True)
        if self.bias is None:
            return logits
        return logits + self.bias(ops.ones_like(hidden[..., :1]))


def make_output(
    target_embedding: keras.Layer,
    settings: Embedding,
    sizes: VocabSizes,
    factory: LayerFactory,
    *,
    tied_bias: bool = False,
) -> Callable[[Tensor], Tensor]:
    """The output layer, hidden (…,H) → logits (…,V): a dense one, or the target table transposed.

    In bfloat16 its product is rounded, which costs less than any noise of training: a logit of
    10 by 0.03 at most.
    """
    if not settings.tied:
        return factory.dense("output", sizes.target)  # type: ignore[no-any-return]
    bias = None
    if tied_bias:
        # Keras has no layer that only adds a bias; exports must consist of its layers.
        bias = factory.dense("output_bias", sizes.target, use_bias=False, initializer="zeros")
    return TiedOutput(target_embedding, bias)


def read_output(output: TiedOutput) -> Callable[[Tensor], Tensor]:
    """A tied output layer, hidden (…,H) → logits (…,V), whose weights are read once, here."""
    table, bias = output.table.embeddings, output.bias
    added = None if bias is None else tf.reshape(bias.kernel, [-1])
    dtype = output.table.compute_dtype
    table = tf.cast(table, dtype)

    def run(hidden: Tensor) -> Tensor:
        logits = tf.matmul(tf.cast(hidden, dtype), table, transpose_b=True)
        return logits if added is None else tf.nn.bias_add(logits, tf.cast(added, dtype))

    return run


def output_columns(output: Any, candidates: Tensor) -> Callable[[Tensor], Tensor]:
    """The output layer for the tokens candidates (C,) only, whose weights are gathered once."""
    table, bias = _output_weights(output)
    rows = tf.gather(table, candidates, axis=0 if isinstance(output, TiedOutput) else 1)
    added = None if bias is None else tf.gather(tf.reshape(bias, [-1]), candidates)

    def columns(hidden: Tensor) -> Tensor:
        rounded = tf.cast(rows, hidden.dtype)
        logits = tf.matmul(hidden, rounded, transpose_b=isinstance(output, TiedOutput))
        return logits if added is None else tf.cast(logits, tf.float32) + tf.cast(added, tf.float32)

    return columns


def quantized_output(output: Any, *, bound: float | None) -> QuantizedProduct:
    """The output layer with an 8-bit product; for `bound` see QuantizedProduct."""
    rows, added = output_weights(output)
    return QuantizedProduct(rows.T, added, bound=bound)


def output_weights(output: Any) -> tuple[Array, Array | None]:
    """The weights (V,H) of the output layer, and its bias (V,), or None."""
    table, bias = _output_weights(output)
    matrix = numpy_values(table)
    return (
        matrix if isinstance(output, TiedOutput) else matrix.T,
        None if bias is None else numpy_values(bias).reshape(-1),
    )


def _output_weights(output: Any) -> tuple[keras.Variable, Any]:
    """The table (V,H) of a tied output or the kernel (H,V) of another, and the bias, (V,) or (1,V),
    or None."""
    if not isinstance(output, TiedOutput):
        return output.kernel, output.bias
    return output.table.embeddings, None if output.bias is None else output.bias.kernel


def _make_initializer(settings: str | Initializer) -> keras.initializers.Initializer:
    name = settings if isinstance(settings, str) else settings.name
    arguments = {} if isinstance(settings, str) else settings.model_extra or {}
    try:
        return keras.initializers.get({"class_name": name, "config": arguments})
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"model.embedding.initializer: Keras cannot make {name} from {arguments}: {error}.",
            "Write {name: …} with the arguments that Keras documents for it.",
        ) from None


# Initial values from a file.


@dataclass(frozen=True)
class MatchedVectors:
    """How many rows of a table were read from the file `path`, and which lines were skipped."""

    path: str
    matched: int
    vocab_size: int
    skipped: str = ""


def load_vectors(
    tables: tuple[keras.Layer, keras.Layer], files: SideFiles, tokenizers: Tokenizers
) -> list[MatchedVectors]:
    """Writes the vectors of the files into the source and the target table.

    Rows without a vector keep their initial values; a shared table takes the target's file
    last. Raises DataError where a file does not fit the table.
    """
    found: list[MatchedVectors] = []
    sides = (files.source, tokenizers.source), (files.target, tokenizers.target)
    for (path, tokenizer), table in zip(sides, tables, strict=True):
        if path is None:
            continue
        values = np.array(keras.ops.convert_to_numpy(table.embeddings))
        vectors = read_word_vectors(path, tokenizer.tokens(), values.shape[1])
        for row, vector in vectors.rows.items():
            values[row] = vector
        skipped = describe_skipped(vectors.skipped)
        report = MatchedVectors(path, len(vectors.rows), len(values), skipped)
        table.embeddings.assign(values)
        if report not in found:
            found.append(report)
    return found
