"""Three .keras files of Keras's own layers, the tokenizers, and a program that translates."""

from __future__ import annotations

import importlib.resources
import shutil
from pathlib import Path

import keras

from s2s_cli.config.schema import Decoding, ResolvedConfig
from s2s_cli.export.description import refuse_settings, write_description
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.runs.run import Run

NAME = "keras"
# What proves the artefact in a fresh process: `found` gets the ids for each of `sources`.
RUNNER = """
namespace = runpy.run_path(str(folder / "translate.py"))
found = [namespace["search"](ids) for ids in sources]
"""


def search_settings(decoding: Decoding) -> Decoding:
    """The search of the program: greedy, which is what it is for people to read.

    Raises ExportError for settings that make it another one.
    """
    refuse_settings(
        NAME,
        decoding,
        ["unknown", "no_repeat_ngram_size", "coverage_penalty", "diversity", "sampling"],
    )
    return decoding.model_copy(update={"beam_size": 1, "n_best": 1, "min_length": 0})


def write(folder: Path, seq2seq: Seq2Seq, run: Run, config: ResolvedConfig) -> str:
    """Writes training.keras, encoder.keras, decoder.keras and what goes with them.

    Returns what is left out and why, or nothing.
    """
    models = {"encoder": seq2seq.encoder, "decoder": seq2seq.decoder}
    left_out = ""
    if all(_is_of_keras(layer) for layer in seq2seq.training_model.layers):
        models["training"] = seq2seq.training_model
    else:
        left_out = (
            "training.keras is left out: no layer of Keras computes one target position after the"
            " other with attention in between (input_feeding, coverage)"
        )
    for name, model in models.items():
        model.save(folder / f"{name}.keras")
    write_description(folder, NAME, run, config)
    for package, source, name in (
        ("s2s_cli.export", "translate_example.py", "translate.py"),
        ("s2s_cli.text", "marks.py", "marks.py"),
        ("s2s_cli.text", "splitting.py", "splitting.py"),
    ):
        with importlib.resources.as_file(importlib.resources.files(package) / source) as path:
            shutil.copyfile(path, folder / name)
    return left_out


def _is_of_keras(layer: keras.Layer) -> bool:
    return type(layer).__module__.partition(".")[0] == "keras"
