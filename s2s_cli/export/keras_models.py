"""Format `keras`: .keras files of Keras's own layers, and a search in Python to read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras

from s2s_cli.config.schema import ResolvedConfig
from s2s_cli.model.seq2seq import Seq2Seq


class KerasModels:
    """Writes training.keras, encoder.keras and decoder.keras."""

    name = "keras"
    packages = ("keras", "tensorflow", "numpy")
    writer_packages = ()
    extra = None
    runner = "keras_runner.py"
    precisions = ("float32",)
    has_same_beam = True

    def refuse(self, config: ResolvedConfig) -> str | None:
        """Refuses no run."""
        return None

    # The runner is short, for people to read it.
    follows = frozenset({"beam_size", "length_penalty", "min_length", "unknown"})

    def write(
        self, folder: Path, seq2seq: Seq2Seq, config: ResolvedConfig, precision: str
    ) -> Sequence[str]:
        """Writes the models; training.keras is left out where it needs a layer of ours."""
        models = {"encoder": seq2seq.encoder, "decoder": seq2seq.decoder}
        left_out = []
        if all(_is_of_keras(layer) for layer in seq2seq.training_model.layers):
            models["training"] = seq2seq.training_model
        else:
            left_out.append(
                "training.keras is left out: no layer of Keras computes one target position after"
                " the other with attention in between (input_feeding, coverage)."
            )
        for name, model in models.items():
            model.save(folder / f"{name}.keras")
        return left_out


def _is_of_keras(layer: keras.Layer) -> bool:
    return type(layer).__module__.partition(".")[0] == "keras"
