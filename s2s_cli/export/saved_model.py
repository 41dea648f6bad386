"""Format `saved_model`: a TensorFlow graph with the search inside; ids in, ids out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras

from s2s_cli.config.schema import ResolvedConfig
from s2s_cli.export.format import SEARCH_SETTINGS
from s2s_cli.export.serving import SOURCE_IDS, serving_function
from s2s_cli.model.seq2seq import Seq2Seq


class SavedModel:
    """Writes a SavedModel with one signature, `serve`: that of `serving_function`."""

    name = "saved_model"
    packages = ("tensorflow", "numpy")
    writer_packages = ()
    extra = None
    runner = "saved_model_runner.py"
    follows = frozenset(SEARCH_SETTINGS) - {"sampling"}
    precisions = ("float32",)
    has_same_beam = True

    def refuse(self, config: ResolvedConfig) -> str | None:
        """Refuses no run."""
        return None

    def write(
        self, folder: Path, seq2seq: Seq2Seq, config: ResolvedConfig, precision: str
    ) -> Sequence[str]:
        """Writes the graph; nothing is left out."""
        archive = keras.export.ExportArchive()
        archive.track(seq2seq.encoder)
        archive.track(seq2seq.decoder)
        serve = serving_function(seq2seq, config)
        archive.add_endpoint("serve", serve, input_signature=[SOURCE_IDS])
        archive.write_out(folder / "saved_model", verbose=False)
        return ()
