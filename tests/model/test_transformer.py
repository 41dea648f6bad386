"""The Transformer against its formulas, written out in NumPy, and the limits of learned positions."""

import math
import re

import numpy as np
import pytest
import tensorflow as tf
from conftest import tiny_settings, train_in_process, write_config
from light_training import of_kind, use_light_step, use_light_validation
from model_cases import (
    SOURCE,
    TARGET_IN,
    TRANSFORMERS,
    by_training_model,
    make_model,
    model_settings,
    name_of,
    randomised,
)

from s2s_cli.config.load import override_decoding
from s2s_cli.decoding.loading import load_model
from s2s_cli.decoding.translator import Translator
from s2s_cli.export.serving import SOURCE_IDS, serving_function
from s2s_cli.model.dropout import DropoutDraws
from s2s_cli.model.layer_factory import LayerFactory
from s2s_cli.model.normalization import layer_norm
from s2s_cli.model.transformer.layers import Sinusoids
from s2s_cli.runs.run import Run
from s2s_cli.training.events import DataReady

erf = np.vectorize(math.erf)
ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: x * (1 + erf(x / math.sqrt(2))) / 2,
    "silu": lambda x: x / (1 + np.exp(-x)),
}


class PlainTransformer:
    """The forward pass for one sentence without padding, in float64, from weights by path."""

    def __init__(self, settings, weights, taken=None):
        """With `taken`, all layers that are not among these are left out."""
        self.settings, self.taken = settings, taken
        self.weights = {path: np.float64(w.numpy()) for path, w in weights.items()}

    def dense(self, name, x):
        return x @ self.weights[f"{name}/kernel"] + self.weights.get(f"{name}/bias", 0)

    def norm(self, name, x):
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + self.settings.layer_norm_epsilon)
        return x * self.weights[f"{name}_norm/gamma"] + self.weights[f"{name}_norm/beta"]

    def attention(self, name, x, memory, is_causal=False):
        query, keys, values = (
            self.dense(f"{name}_{kind}", given)
            for kind, given in (("query", x), ("keys", memory), ("values", memory))
        )
        size = x.shape[1] // self.settings.heads
        found = []
        for first in range(0, x.shape[1], size):
            part = slice(first, first + size)
            scores = query[:, part] @ keys[:, part].T / math.sqrt(size)
            if is_causal:
                scores += np.triu(np.full(scores.shape, -np.inf), k=1)
            shares = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
            found.append(shares @ values[:, part])
        return self.dense(f"{name}_output", np.concatenate(found, axis=1))

    def feed_forward(self, name, x):
        hidden = ACTIVATIONS[self.settings.activation](self.dense(f"{name}_expand", x))
        return self.dense(f"{name}_contract", hidden)

    def sublayer(self, name, x, function):
        if self.settings.normalization == "pre":
            return x + function(self.norm(name, x))
        return self.norm(name, x + function(x))

    def embedded(self, side, ids):
        vectors = self.weights[f"{side}_embedding/embeddings"][ids]
        vectors = vectors * (math.sqrt(vectors.shape[1]) if self.settings.embedding.scale else 1)
        if self.settings.positions == "learned":
            return vectors + self.weights[f"{side}_positions/embeddings"][: len(ids)]
        half = vectors.shape[1] // 2
        angles = np.arange(len(ids))[:, None] / 10_000 ** (np.arange(half) / half)
        return vectors + np.concatenate([np.sin(angles), np.cos(angles)], axis=1)

    def names(self, side):
        names = [f"{side}_{index}" for index in range(getattr(self.settings, side).layers)]
        return [name for name in names if self.taken is None or name in self.taken]

    def logits(self, source_ids, target_in_ids):
        memory = self.embedded("source", source_ids)
        for name in self.names("encoder"):
            memory = self.sublayer(
                f"{name}_attention",
                memory,
                lambda x, n=name: self.attention(f"{n}_attention", x, x),
            )
            memory = self.sublayer(
                f"{name}_feed_forward",
                memory,
                lambda x, n=name: self.feed_forward(f"{n}_feed_forward", x),
            )
        is_pre = self.settings.normalization == "pre"
        memory = self.norm("encoder", memory) if is_pre else memory
        x = self.embedded("target", target_in_ids)
        for name in self.names("decoder"):
            x = self.sublayer(
                f"{name}_attention",
                x,
                lambda x, n=name: self.attention(f"{n}_attention", x, x, True),
            )
            x = self.sublayer(
                f"{name}_memory", x, lambda x, n=name: self.attention(f"{n}_memory", x, memory)
            )
            x = self.sublayer(
                f"{name}_feed_forward",
                x,
                lambda x, n=name: self.feed_forward(f"{n}_feed_forward", x),
            )
        x = self.norm("decoder", x) if is_pre else x
        if self.settings.embedding.tied:
            table = self.weights["target_embedding/embeddings"]
            return x @ table.T + self.weights["output_bias/kernel"]
        return self.dense("output", x)


@pytest.mark.parametrize("changes", TRANSFORMERS, ids=name_of)
def test_the_model_computes_the_formulas_of_the_paper(changes):
    settings = model_settings(**changes)
    seq2seq = randomised(make_model(settings))
    plain = PlainTransformer(settings, seq2seq.weights)
    found = by_training_model(seq2seq)
    for row, (source, target) in enumerate(zip(SOURCE, TARGET_IN, strict=True)):
        length = np.count_nonzero(source)
        expected = plain.logits(source[:length], target)
        np.testing.assert_allclose(found[row], expected, atol=2e-5)


def test_positions_turn_by_the_powers_of_ten_thousand():
    (found,) = Sinusoids(4)(tf.constant([[0, 1, 5]])).numpy()
    turns = np.array([1, 0.01])
    for position, vector in zip((0, 1, 5), found, strict=True):
        expected = [*np.sin(position * turns), *np.cos(position * turns)]
        np.testing.assert_allclose(vector, expected, atol=1e-6)


def test_the_paths_of_weights_are_those_that_checkpoints_have():
    """A changed path makes every checkpoint unreadable: that takes another RUN_FORMAT."""
    settings = model_settings(
        architecture="transformer",
        encoder__layers=1,
        decoder__layers=1,
        positions="learned",
        embedding__tied=True,
    )
    attention = ("keys/kernel", "output/bias", "output/kernel", "query/bias", "query/kernel")
    attention += ("values/bias", "values/kernel")
    blocks = ("encoder_0_attention", "decoder_0_attention", "decoder_0_memory")
    sublayers = (*blocks, "encoder_0_feed_forward", "decoder_0_feed_forward")
    expected = {f"{block}_{path}" for block in blocks for path in attention}
    expected |= {
        f"{side}_0_feed_forward_{part}/{kind}"
        for side in ("encoder", "decoder")
        for part in ("expand", "contract")
        for kind in ("kernel", "bias")
    }
    expected |= {
        f"{name}_norm/{kind}"
        for name in (*sublayers, "encoder", "decoder")
        for kind in ("gamma", "beta")
    }
    for side in ("source", "target"):
        expected |= {f"{side}_embedding/embeddings", f"{side}_positions/embeddings"}
    assert make_model(settings).weights.keys() == expected | {"output_bias/kernel"}


def test_the_layer_norm_of_training_has_the_values_and_gradients_of_keras():
    random = np.random.default_rng(2)
    layer = LayerFactory.for_training("float32", 1).layer_norm("norm", 1e-5)
    layer.build((None, None, 6))
    layer.gamma.assign(random.normal(size=6))
    layer.beta.assign(random.normal(size=6))
    inputs = tf.constant(random.normal(size=(2, 3, 6)).astype(np.float32))
    weights = tf.constant(random.normal(size=(2, 3, 6)).astype(np.float32))
    found = []
    for normalize in (layer, layer_norm(layer)):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = normalize(inputs)
            loss = tf.reduce_sum(outputs * weights)
        variables = [inputs, layer.gamma.value, layer.beta.value]
        found.append([outputs, *tape.gradient(loss, variables)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


# Initial values.


def test_depth_scaled_kernels_are_uniform_within_a_bound_that_falls_with_the_depth():
    settings = model_settings(
        architecture="transformer", initialization="depth_scaled", embedding__size=24
    )
    for path, weight in make_model(settings).weights.items():
        place = re.match(r"(?:en|de)coder_(\d)_.*kernel", path)
        if place:
            bound = math.sqrt(6 / sum(weight.shape)) / math.sqrt(int(place[1]) + 1)
            values = weight.numpy()
            assert 0.95 * bound < np.abs(values).max() <= bound, path
            assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.1), path
    default, scaled = (
        make_model(model_settings(architecture="transformer", initialization=name)).weights
        for name in ("default", "depth_scaled")
    )
    for path in ("source_embedding/embeddings", "output/kernel", "encoder_0_attention_keys/kernel"):
        np.testing.assert_array_equal(default[path], scaled[path])


def gradient_norms(settings) -> list[float]:
    """The norm of the gradient of each decoder layer, the lowest first, before any training."""
    seq2seq = make_model(settings)
    weights = seq2seq.training_model.trainable_variables
    with tf.GradientTape() as tape:
        logits = seq2seq.training_model({"source_ids": SOURCE, "target_in_ids": TARGET_IN})
        loss = tf.reduce_sum(tf.nn.log_softmax(logits)[:, :, 7])
    gradients = tape.gradient(loss, [weight.value for weight in weights])
    squares = np.zeros(settings.decoder.layers)
    for weight, gradient in zip(weights, gradients, strict=True):
        place = re.match(r"decoder_(\d+)_.*kernel", weight.path)
        if place:
            squares[int(place[1])] += np.sum(np.square(gradient))
    return np.sqrt(squares).tolist()


@pytest.mark.slow
def test_gradients_reach_the_lowest_of_twelve_post_normalised_layers_with_depth_scaled_values():
    """As in figure 1 of https://arxiv.org/abs/1908.11365."""
    ratios = {}
    for name in ("default", "depth_scaled"):
        settings = model_settings(
            architecture="transformer",
            normalization="post",
            initialization=name,
            embedding__size=24,
            feed_forward=48,
            decoder__layers=12,
        )
        norms = gradient_norms(settings)
        ratios[name] = norms[0] / norms[-1]
    assert ratios["default"] < 0.05 and 0.5 < ratios["depth_scaled"] < 5


# Layer drop.


def step_with_layer_drop(seq2seq, step):
    """The logits of a step of training, and the names of the layers whose weights get a gradient."""
    weights = seq2seq.training_model.trainable_variables
    draws = DropoutDraws(1, tf.constant(step, tf.int64), tf.constant(0, tf.int64))
    with tf.GradientTape() as tape:
        layers = seq2seq.layers.for_training(draws)
        encoded = layers.encode(tf.constant(SOURCE))
        cache = layers.initial_cache(encoded)
        decoded = layers.decode(tf.constant(TARGET_IN), cache, encoded.constants)
        logits = layers.project(decoded.hidden)
        loss = tf.reduce_sum(logits * tf.range(13, dtype=tf.float32))
    gradients = tape.gradient(loss, [weight.value for weight in weights])
    moved = {
        "_".join(weight.path.split("_")[:2])
        for weight, gradient in zip(weights, gradients, strict=True)
        if re.match(r"(en|de)coder_\d", weight.path)
        and "memory" not in weight.path
        and gradient is not None
        and np.abs(gradient).max() > 0
    }
    return logits.numpy(), moved


@pytest.mark.parametrize("normalization", ["pre", "post"])
def test_a_step_computes_the_model_of_the_layers_that_it_takes_and_moves_no_others(normalization):
    settings = model_settings(
        architecture="transformer", normalization=normalization, dropout=0.0, layer_drop=0.25
    )
    seq2seq, seen = randomised(make_model(settings)), []
    for step in range(1, 13):
        logits, moved = step_with_layer_drop(seq2seq, step)
        seen.append(moved)
        plain = PlainTransformer(settings, seq2seq.weights, taken=moved)
        for row, (source, target) in enumerate(zip(SOURCE, TARGET_IN, strict=True)):
            expected = plain.logits(source[: np.count_nonzero(source)], target)
            np.testing.assert_allclose(logits[row], expected, atol=2e-5)
    assert 0.6 < np.mean([len(moved & {"decoder_0", "decoder_1"}) / 2 for moved in seen]) < 0.9


# Learned positions.


@pytest.fixture
def short(tmp_path, corpus, monkeypatch):
    """The run of a model with six positions, and the events of its training."""
    use_light_step(monkeypatch)
    use_light_validation(monkeypatch)
    settings = tiny_settings(corpus, "transformer")
    settings["model"] |= {"positions": "learned", "max_positions": 6}
    settings["training"].update(max_steps=1)
    events = train_in_process(write_config(tmp_path / "c.yaml", settings), tmp_path / "run")
    return Run(tmp_path / "run"), events


@pytest.mark.slow
def test_what_is_longer_than_the_positions_is_left_out_split_or_ended(short):
    run, events = short
    (ready,) = of_kind(events, DataReady)
    # Five tokens beside `</s>`: one digit, and a word of four letters and the space before it.
    assert ready.train.read == 240
    assert ready.train.used == 240 - ready.train.left_out["beyond_positions"] > 0
    config = run.config()
    assert config.decoding.max_source_length == 5
    decoding = override_decoding(config, min_length=6)
    found = Translator.from_run(run, decoding=decoding).translate(["1 2 3 4 5 6 7 8 9", "1"])
    assert len(found[0].source_tokens) == 18 and found[0].is_long
    assert not found[1].is_long and found[1].length == 6


@pytest.mark.slow
def test_an_exported_search_refuses_sources_that_are_longer_than_the_positions(short):
    search = serving_function(load_model(short[0]), short[0].config())
    serve = tf.function(search, input_signature=[SOURCE_IDS], autograph=False)
    assert serve(tf.constant([[5, 6, 7, 8, 9, 3]]))["ids"].shape[1] <= 6
    with pytest.raises(tf.errors.InvalidArgumentError, match="6 positions at most"):
        serve(tf.constant([[5, 6, 7, 8, 9, 5, 3]]))
