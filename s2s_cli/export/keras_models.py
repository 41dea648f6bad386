"""Three .keras files of Keras's own layers, the tokenizers, and a program that translates."""

from __future__ import annotations

import importlib.resources
import shutil
from pathlib import Path

from s2s_cli.config.schema import Decoding, ResolvedConfig
from s2s_cli.export.description import write_description
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.runs.run import Run

NAME = "keras"
# What proves the artefact in a fresh process: `found` gets the ids for each of `sources`.
RUNNER = """
namespace = runpy.run_path(str(folder / "translate.py"))
found = [namespace["search"](ids) for ids in sources]
"""


def search_settings(decoding: Decoding) -> Decoding:
    """The search of the program: greedy, which is what it is for people to read."""
    return decoding.model_copy(update={"beam_size": 1, "n_best": 1, "min_length": 0})


def write(folder: Path, seq2seq: Seq2Seq, run: Run, config: ResolvedConfig) -> None:
    """Writes training.keras, encoder.keras, decoder.keras and what goes with them."""
    models = {
        "training": seq2seq.training_model,
        "encoder": seq2seq.encoder,
        "decoder": seq2seq.decoder,
    }
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
