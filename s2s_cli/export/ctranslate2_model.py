"""Format `ctranslate2`: the weights of a Transformer, for the search of CTranslate2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_dtypes import bfloat16

from s2s_cli.config.schema import ResolvedConfig, TransformerModel
from s2s_cli.model.embeddings import output_weights
from s2s_cli.model.quantization import numpy_values
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.text.tokenizer import BOS, EOS, PAD, UNK, Tokenizers

Array = np.ndarray[Any, Any]
# Positions that a table of sinusoids has at least.
POSITIONS = 1024
# The bias of padding in the output layer: CTranslate2 may choose any token.
NEVER = -1e9
ACTIVATIONS = {"relu": "RELU", "gelu": "GELU", "silu": "SWISH"}


class CTranslate2Model:
    """Writes a folder for `ctranslate2.Translator`."""

    name = "ctranslate2"
    packages = ("ctranslate2", "numpy")
    writer_packages = ()
    extra = "ctranslate2"
    runner = "ctranslate2_runner.py"
    follows = frozenset(
        {"beam_size", "length_penalty", "min_length", "unknown", "no_repeat_ngram_size"}
    )
    precisions = ("float32", "int8", "bfloat16")
    has_same_beam = False

    def refuse(self, config: ResolvedConfig) -> str | None:
        """Refuses recurrent models."""
        if isinstance(config.model, TransformerModel):
            return None
        return "CTranslate2 has no recurrent models, and this run has one."

    def write(
        self, folder: Path, seq2seq: Seq2Seq, config: ResolvedConfig, precision: str
    ) -> Sequence[str]:
        """Writes the weights and both vocabularies; nothing is left out."""
        settings = config.model
        assert isinstance(settings, TransformerModel)
        longest = max(config.decoding.max_source_length or 0, config.decoding.max_length) + 1
        spec = _spec(seq2seq, settings, settings.position_limit or max(POSITIONS, longest))
        source, target = folder / "source.model", folder / "target.model"
        tokenizers = Tokenizers.load(source, target, config.tokenizer.type)
        spec.register_source_vocabulary(tokenizers.source.tokens())
        spec.register_target_vocabulary(tokens := tokenizers.target.tokens())
        names = ("unk_token", "bos_token", "eos_token", "decoder_start_token")
        for name, token in zip(names, (UNK, BOS, EOS, BOS), strict=True):
            setattr(spec.config, name, tokens[token])
        spec.config.layer_norm_epsilon = settings.layer_norm_epsilon
        spec.validate()
        if precision == "bfloat16":
            _round(spec)
        spec.optimize(quantization=precision)
        (folder / "ctranslate2").mkdir()
        spec.save(str(folder / "ctranslate2"))
        return ()


def _spec(seq2seq: Seq2Seq, settings: TransformerModel, positions: int) -> Any:
    """CTranslate2's description of the model, filled with its weights."""
    from ctranslate2.specs import Activation, TransformerSpec

    layers: Any = seq2seq.layers
    spec = TransformerSpec.from_config(
        (settings.encoder.layers, settings.decoder.layers),
        settings.heads,
        pre_norm=settings.normalization == "pre",
        activation=getattr(Activation, ACTIVATIONS[settings.activation]),
    )
    for side, embedding, encodings, table in (
        (
            spec.encoder,
            spec.encoder.embeddings[0],
            layers.source_positions,
            layers.source_embedding,
        ),
        (spec.decoder, spec.decoder.embeddings, layers.target_positions, layers.target_embedding),
    ):
        side.scale_embeddings = settings.embedding.scale
        embedding.weight = numpy_values(table.embeddings)
        side.position_encodings.encodings = _position_vectors(encodings, positions)
    for one, layer in zip(spec.encoder.layer, layers.encoder, strict=True):
        _fill_self_attention(one.self_attention, layer)
        _fill_feed_forward(one.ffn, layer)
    memory = iter(layers.memory_projections.layers)
    for one, layer in zip(spec.decoder.layer, layers.decoder, strict=True):
        _fill_self_attention(one.self_attention, layer)
        _fill_memory_attention(one.attention, layer, next(memory), next(memory))
        _fill_feed_forward(one.ffn, layer)
    if layers.encoder_norm is not None:
        _fill_norm(spec.encoder.layer_norm, layers.encoder_norm)
        _fill_norm(spec.decoder.layer_norm, layers.decoder_norm)
    _fill_output(spec.decoder.projection, layers.output)
    return spec


def _round(spec: Any) -> None:
    """Makes all weights bfloat16; CTranslate2 itself would need PyTorch for that."""
    from ctranslate2.specs.model_spec import Variable, visit_spec

    class Rounded(Variable):  # type: ignore[misc]
        """bfloat16, which CTranslate2 only writes."""

        dtype = "bfloat16"

        def __init__(self, values: Array):
            self._values = values

        @property
        def shape(self) -> list[int]:
            return list(self._values.shape)

        def numpy(self) -> Array:
            return self._values

        def num_bytes(self) -> int:
            return self._values.nbytes

        def to_bytes(self) -> bytes:
            return self._values.tobytes()

        def _to(self, dtype: str) -> Rounded:
            raise AssertionError(f"{dtype} was not asked for")

        def _equal(self, other: Any) -> bool:
            return np.array_equal(self._values, other.numpy())

    def rounded(owner: Any, name: str, value: Any) -> None:
        if isinstance(value, Variable) and value.dtype == "float32" and value.shape:
            setattr(owner, name.rpartition("/")[2], Rounded(value.numpy().astype(bfloat16)))

    visit_spec(spec, rounded)


def _position_vectors(encodings: Callable[[Any], Any], count: int) -> Array:
    """The vectors (P,D) that are added to embeddings."""
    vectors: Array = np.asarray(encodings(np.arange(count, dtype=np.int32)[None])[0])
    return vectors


def _fill_self_attention(spec: Any, layer: Any) -> None:
    _fill_norm(spec.layer_norm, layer.attention_residual.normalize)
    _fill_dense(spec.linear[0], *layer.attention.project.layers)
    _fill_dense(spec.linear[1], layer.attention.output)


def _fill_memory_attention(spec: Any, layer: Any, keys: Any, values: Any) -> None:
    _fill_norm(spec.layer_norm, layer.memory_residual.normalize)
    _fill_dense(spec.linear[0], *layer.memory_attention.project.layers)
    _fill_dense(spec.linear[1], keys, values)
    _fill_dense(spec.linear[2], layer.memory_attention.output)


def _fill_feed_forward(spec: Any, layer: Any) -> None:
    _fill_norm(spec.layer_norm, layer.feed_forward_residual.normalize)
    _fill_dense(spec.linear_0, layer.feed_forward.expand)
    _fill_dense(spec.linear_1, layer.feed_forward.contract)


def _fill_norm(spec: Any, layer: Any) -> None:
    spec.gamma, spec.beta = numpy_values(layer.gamma), numpy_values(layer.beta)


def _fill_dense(spec: Any, *layers: Any) -> None:
    """One product for dense layers side by side; CTranslate2 has the outputs as rows."""
    spec.weight = np.concatenate([numpy_values(layer.kernel).T for layer in layers])
    spec.bias = np.concatenate(
        [
            np.zeros(layer.units, np.float32) if layer.bias is None else numpy_values(layer.bias)
            for layer in layers
        ]
    )


def _fill_output(spec: Any, output: Any) -> None:
    weight, bias = output_weights(output)
    spec.weight = weight
    spec.bias = np.zeros(len(weight), np.float32) if bias is None else bias.copy()
    spec.bias[PAD] = NEVER
