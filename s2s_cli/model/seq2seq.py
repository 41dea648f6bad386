"""One set of layers, three models: the one that is trained, the encoder, the decoder step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from s2s_cli.model.recurrent import Encoded, RecurrentLayers, Tensors
from s2s_cli.schema import Model


class Seq2Seq:
    """Holds the layers once, and calls their three functions on three sets of inputs.

    `training_model`: source_ids (B,S), target_in_ids (B,T) → logits (B,T,V).
    `hidden_model`: the same as far as hidden (B,T,H), which `layers.project` makes logits of.
    `encoder`: source_ids (B,S) → constants and first state, by name.
    `decoder`: target_in_ids (B,1), state, constants → logits (B,V), attention
    (B,S) where there is one, and the next state.

    The three share their layers, so a step of training changes all of them:
    there are no other weights than these.
    """

    def __init__(
        self,
        config: Model,
        source_types: int,
        target_types: int,
        precision: str = "float32",
        *,
        trains: bool = True,
        plain: bool = False,
    ):
        """Products are taken in `precision`; what is not trained holds its weights in it too.

        `plain` makes it of Keras's own layers alone, for those who have no others.
        """
        with _precision(f"mixed_{precision}" if trains and precision != "float32" else precision):
            self.layers = RecurrentLayers(config, source_types, target_types, plain=plain)
            self._build()

    def _build(self) -> None:
        source_ids = keras.Input((None,), dtype="int32", name="source_ids")
        target_in_ids = keras.Input((None,), dtype="int32", name="target_in_ids")
        encoded = self.layers.encode(source_ids)
        decoded = self.layers.decode(target_in_ids, encoded.state, encoded.constants)
        inputs = {"source_ids": source_ids, "target_in_ids": target_in_ids}
        self.hidden_model = keras.Model(inputs, decoded.hidden, name="hidden")
        logits = self.layers.project(decoded.hidden)
        self.training_model = keras.Model(inputs, logits, name="training")
        self.encoder = keras.Model(
            {"source_ids": source_ids}, {**encoded.constants, **encoded.state}, name="encoder"
        )
        self.decoder = self._decoder(encoded)

    def _decoder(self, encoded: Encoded) -> keras.Model:
        """The decoder on inputs of its own: one position, and what encoder or step gave."""
        last_ids = keras.Input((1,), dtype="int32", name="target_in_ids")
        constants = _inputs_like(encoded.constants)
        state = _inputs_like(encoded.state)
        decoded = self.layers.decode(last_ids, state, constants)
        outputs = {"logits": self.layers.project(decoded.hidden)[:, 0], **decoded.state}
        if decoded.attention is not None:
            outputs["attention"] = decoded.attention[:, 0]
        inputs = {"target_in_ids": last_ids, **constants, **state}
        return keras.Model(inputs, outputs, name="decoder")


def _inputs_like(tensors: Tensors) -> Tensors:
    """A `keras.Input` of the same name, shape and dtype for each tensor."""
    return {
        name: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name)
        for name, tensor in tensors.items()
    }


@contextmanager
def _precision(policy: str) -> Iterator[None]:
    """Layers made here have this dtype policy; `mixed` ones hold float32 weights."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
