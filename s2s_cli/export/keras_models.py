"""Three .keras files of Keras's own layers, the tokenizers, and a program that uses them."""

from __future__ import annotations

import importlib.resources
import shutil
from pathlib import Path

from s2s_cli.errors import ExportError
from s2s_cli.export.description import write_description
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.run import Run
from s2s_cli.schema import Config


def write(folder: Path, seq2seq: Seq2Seq, run: Run, config: Config) -> None:
    """Writes training.keras, encoder.keras, decoder.keras and what goes with them."""
    models = {
        "training": seq2seq.training_model,
        "encoder": seq2seq.encoder,
        "decoder": seq2seq.decoder,
    }
    require_plain(models["training"])
    for name, model in models.items():
        model.save(folder / f"{name}.keras")
    write_description(folder, "keras", run, config)
    example = importlib.resources.files("s2s_cli.export") / "translate_example.py"
    with importlib.resources.as_file(example) as path:
        shutil.copyfile(path, folder / "translate.py")


def require_plain(model: object) -> None:
    """Raises ExportError for layers that load only where this program is installed."""
    foreign = sorted(
        {
            type(layer).__name__
            for layer in model._flatten_layers()  # type: ignore[attr-defined]
            if not type(layer).__module__.startswith("keras.")
        }
    )
    if foreign:
        raise ExportError(
            f"The model has layers that Keras does not know: {', '.join(foreign)}.",
            "Use --format saved_model, which needs no layer classes.",
        )
