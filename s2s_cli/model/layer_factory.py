"""Makes Keras layers with a dtype policy, and with initial values that follow from a seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

make_policy = keras.dtype_policies.DTypePolicy


@dataclass(frozen=True)
class LayerFactory:
    """Makes the layers of one model.

    `policy` is given to every layer, so nothing depends on Keras's global policy. The initial
    value of a weight follows from (seed, its path). Without a seed, weights are zeros, to be
    loaded, and layers avoid cuDNN, so that what is exported runs where there is no GPU.
    """

    policy: Any
    seed: int | None
    kernel_gain: float = 1.0
    """What the initial kernels of dense layers are multiplied by, but where an initializer is named."""

    @classmethod
    def for_training(cls, precision: str, seed: int) -> LayerFactory:
        """Weights in float32, products in `precision`."""
        name = precision if precision == "float32" else f"mixed_{precision}"
        return cls(make_policy(name), seed)

    @classmethod
    def for_inference(cls, precision: str) -> LayerFactory:
        """Weights and products in `precision`."""
        return cls(make_policy(precision), None)

    def initializer(
        self, initializer: str | keras.initializers.Initializer, path: str
    ) -> keras.initializers.Initializer:
        """The same initializer with draws that follow from (seed, path)."""
        if self.seed is None:
            return keras.initializers.Zeros()
        found = keras.initializers.get(initializer)
        arguments = found.get_config()
        if "seed" not in arguments:
            return found
        return type(found).from_config({**arguments, "seed": path_seed(self.seed, path)})

    def dense(
        self,
        name: str,
        units: int,
        *,
        activation: str | None = None,
        use_bias: bool = True,
        initializer: str | None = None,
    ) -> layers.Dense:
        """A dense layer: kernel by Glorot and Bengio's uniform rule if not said otherwise, bias 0."""
        glorot = keras.initializers.VarianceScaling(self.kernel_gain**2, "fan_avg", "uniform")
        return layers.Dense(
            units,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=self.initializer(initializer or glorot, f"{name}/kernel"),
            dtype=self.policy,
            name=name,
        )

    def embedding(
        self, name: str, rows: int, size: int, initializer: str | keras.initializers.Initializer
    ) -> layers.Embedding:
        """A table of `rows` vectors."""
        return layers.Embedding(
            rows,
            size,
            embeddings_initializer=self.initializer(initializer, f"{name}/embeddings"),
            dtype=self.policy,
            name=name,
        )

    def layer_norm(self, name: str, epsilon: float) -> layers.LayerNormalization:
        """Layer normalisation of the last axis: scale 1, offset 0."""
        return layers.LayerNormalization(
            epsilon=epsilon,
            beta_initializer=self.initializer("zeros", f"{name}/beta"),
            gamma_initializer=self.initializer("ones", f"{name}/gamma"),
            dtype=self.policy,
            name=name,
        )

    def dropout(
        self, name: str, rate: float, *, same_at_all_positions: bool = False
    ) -> layers.Dropout:
        """Keras's dropout layer; training replaces it (see `DropoutDraws`)."""
        noise_shape = (None, 1, None) if same_at_all_positions else None
        return layers.Dropout(rate, noise_shape=noise_shape, dtype=self.policy, name=name)

    def recurrent(self, name: str, kind: str, units: int, *, backwards: bool = False) -> Any:
        """An LSTM or GRU layer that returns all hidden states and the last states."""
        layer, gates = {"lstm": (layers.LSTM, 4), "gru": (layers.GRU, 3)}[kind]
        kernel = keras.initializers.VarianceScaling(1.0, "fan_in", "uniform")
        # Keras scales the kernel by the fan-out of all gates together, which is too small;
        # these are the scales of each gate as a matrix of its own.
        recurrent = keras.initializers.Orthogonal(gain=gates**0.5)
        return layer(
            units,
            kernel_initializer=self.initializer(kernel, f"{name}/kernel"),
            recurrent_initializer=self.initializer(recurrent, f"{name}/recurrent_kernel"),
            return_sequences=True,
            return_state=True,
            go_backwards=backwards,
            use_cudnn=False if self.seed is None else "auto",
            dtype=self.policy,
            name=name,
        )


def path_seed(seed: int, path: str) -> int:
    """A seed of 31 bits for one weight or layer, from the seed of the training and its path."""
    digest = hashlib.blake2b(f"{seed}\t{path}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1
