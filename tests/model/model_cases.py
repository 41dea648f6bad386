"""Small models that the tests of models share, and the ways to get logits from them."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from s2s_cli.config.schema import ModelSettings, RecurrentModel, TransformerModel
from s2s_cli.model.family import VocabSizes
from s2s_cli.model.layer_factory import LayerFactory
from s2s_cli.model.seq2seq import Seq2Seq

SIZES = VocabSizes(11, 13)
SOURCE = np.array([[5, 3, 0], [8, 9, 3]], np.int32)
TARGET_IN = np.array([[2, 5, 6], [2, 12, 0]], np.int32)


# The settings of a tiny model, for each architecture.
RECURRENT = {"embedding": {"size": 6}, "encoder": {"units": 4}, "decoder": {"units": 8}}
TINY = {
    "lstm": (RecurrentModel, RECURRENT),
    "gru": (RecurrentModel, RECURRENT),
    "transformer": (
        TransformerModel,
        {
            "embedding": {"size": 6},
            "heads": 3,
            "feed_forward": 10,
            "encoder": {"layers": 2},
            "decoder": {"layers": 2},
        },
    ),
}


def model_settings(**changes) -> ModelSettings:
    """Settings of a tiny model; `decoder__units=8` sets `units` in the section `decoder`."""
    architecture = changes.setdefault("architecture", "lstm")
    family, settings = TINY[architecture]
    settings = dict(settings)
    for key, value in changes.items():
        section, _, name = key.partition("__")
        if name:
            settings[section] = {**settings.get(section, {}), name: value}
        else:
            settings[section] = value
    return family.model_validate(settings)


CASES = [
    {
        "architecture": architecture,
        "decoder__attention": attention,
        "encoder__layers": layers,
        "decoder__layers": layers,
    }
    for architecture, attention, layers in itertools.product(
        ("lstm", "gru"), ("none", "dot", "general", "additive"), (1, 2)
    )
] + [
    {"decoder__initial_state": "mean"},
    {"architecture": "gru", "decoder__initial_state": "mean", "decoder__attention": "none"},
    {"encoder__bidirectional": False, "encoder__units": 8},
    {"encoder__bidirectional": False, "encoder__units": 5, "decoder__layers": 3},
    {"architecture": "gru", "encoder__layers": 3},
    {"embedding__tied": True},
    {"embedding__tied": True, "decoder__attention": "none"},
]  # fmt: skip
DEEP = {"encoder__layers": 2, "decoder__layers": 3}
# What is off by default, as far as it changes what the recurrent layers compute.
VARIANTS = [
    {"layer_norm": True},
    {"layer_norm": True, **DEEP, "decoder__attention": "additive"},
    {"layer_norm": True, **DEEP, "architecture": "gru", "decoder__attention": "none"},
    {"layer_norm": True, "decoder__attention": "dot", "decoder__initial_state": "mean"},
    {"decoder__attention_layer": "first", **DEEP},
    {"decoder__attention_layer": "first", **DEEP, "layer_norm": True, "architecture": "gru"},
    {"decoder__attention_layer": "first", "decoder__layers": 2, "decoder__attention": "additive"},
    {"decoder__input_feeding": True},
    {"decoder__input_feeding": True, **DEEP, "architecture": "gru", "embedding__tied": True},
    {"decoder__input_feeding": True, **DEEP, "decoder__attention_layer": "first", "layer_norm": True},
    {"decoder__coverage": True, "decoder__attention": "dot"},
    {"decoder__coverage": True, "decoder__attention": "additive", "decoder__layers": 2},
    {"decoder__coverage": True, "layer_norm": True, "decoder__input_feeding": True},
]  # fmt: skip
CASES += VARIANTS
TRANSFORMERS = [
    {"architecture": "transformer", **changes}
    for changes in (
        {},
        {"normalization": "post"},
        {"positions": "learned", "max_positions": 8},
        {"activation": "gelu", "embedding__tied": True, "embedding__scale": False},
        {"activation": "silu", "encoder__layers": 1, "decoder__layers": 3, "heads": 1},
        {"normalization": "post", "embedding__tied": True, "positions": "learned", "heads": 2},
    )
]
CASES += TRANSFORMERS


def name_of(changes: dict) -> str:
    return ",".join(f"{key.rpartition('__')[2]}={value}" for key, value in changes.items())


def make_model(
    settings: ModelSettings | None = None,
    sizes: VocabSizes = SIZES,
    *,
    seed: int = 1,
    precision: str = "float32",
) -> Seq2Seq:
    """A model with its initial values."""
    factory = LayerFactory.for_training(precision, seed)
    return Seq2Seq(settings or model_settings(), sizes, factory)


def randomised(seq2seq: Seq2Seq, scale: float = 0.5) -> Seq2Seq:
    """The same model; all weights, biases too, have random values that follow from their paths."""
    random = np.random.default_rng(5)
    for _, weight in sorted(seq2seq.weights.items()):
        weight.assign(random.normal(size=weight.shape) * scale)
    return seq2seq


# Each way gives the logits (B,T,V) of a model for source_ids (B,S) and target_in_ids (B,T).


def by_training_model(seq2seq: Seq2Seq, source_ids=SOURCE, target_in_ids=TARGET_IN) -> np.ndarray:
    """The Keras model that gets all positions at once."""
    inputs = {"source_ids": source_ids, "target_in_ids": target_in_ids}
    return np.array(seq2seq.training_model(inputs, training=False))


def by_encoder_and_decoder(
    seq2seq: Seq2Seq, source_ids=SOURCE, target_in_ids=TARGET_IN
) -> np.ndarray:
    """The two Keras models of inference, position by position."""
    values, logits = dict(seq2seq.encoder({"source_ids": source_ids}, training=False)), []
    for position in range(target_in_ids.shape[1]):
        last_ids = keras.ops.convert_to_tensor(target_in_ids[:, position, None])
        outputs = seq2seq.decoder({"target_in_ids": last_ids, **values}, training=False)
        values |= {name: outputs[name] for name in values.keys() & outputs.keys()}
        logits.append(np.array(outputs["logits"]))
    return np.stack(logits, axis=1)


def by_training_layers(seq2seq: Seq2Seq, source_ids=SOURCE, target_in_ids=TARGET_IN) -> np.ndarray:
    """The layers of a training step, without dropout."""
    layers = seq2seq.layers.for_training(None)
    encoded = layers.encode(tf.constant(source_ids))
    cache = layers.initial_cache(encoded)
    decoded = layers.decode(tf.constant(target_in_ids), cache, encoded.constants)
    return layers.project(decoded.hidden).numpy()


def by_inference_layers(
    seq2seq: Seq2Seq,
    source_ids=SOURCE,
    target_in_ids=TARGET_IN,
    *,
    candidates=None,
    beam_size: int = 1,
    quantized: bool = False,
) -> np.ndarray:
    """The layers of a search, position by position; each sentence `beam_size` times."""
    make = seq2seq.layers.for_int8_inference if quantized else seq2seq.layers.for_inference
    layers = make()(None if candidates is None else tf.constant(candidates))
    encoded, logits = layers.encode(tf.constant(source_ids)), []
    cache = {
        name: tf.repeat(value, beam_size, axis=0)
        for name, value in layers.initial_cache(encoded).items()
    }
    rows = np.repeat(target_in_ids, beam_size, axis=0)
    for position in range(target_in_ids.shape[1]):
        last_ids = tf.constant(rows[:, position, None])
        decoded = layers.decode(last_ids, cache, encoded.constants, beam_size=beam_size)
        cache = decoded.cache
        logits.append(layers.project(decoded.hidden[:, 0]).numpy())
    return np.stack(logits, axis=1)


WAYS: dict[str, Callable[..., np.ndarray]] = {
    "encoder and decoder": by_encoder_and_decoder,
    "training layers": by_training_layers,
    "inference layers": by_inference_layers,
}
