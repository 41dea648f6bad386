"""Format `saved_model`: TensorFlow graphs with the search inside; ids to ids, and text to text."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from s2s_cli.config.schema import ResolvedConfig
from s2s_cli.export.format import SEARCH_SETTINGS
from s2s_cli.export.serving import SOURCE_IDS, serving_function
from s2s_cli.export.text_graph import TEXTS, TextGraph, why_left_out
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.runtime.start import native_stderr_silenced


class SavedModel:
    """Writes SavedModels with one signature, `serve`: ids/, that of `serving_function`; text/, that of
    `TextGraph`.

    They are two, since a server without the operations of tensorflow-text cannot load a graph that
    holds them, whichever signature it is asked for.
    """

    name = "saved_model"
    writer_packages = ()
    extra = None
    runner = "saved_model_runner.py"
    follows = frozenset(SEARCH_SETTINGS) - {"sampling"}
    precisions = ("float32",)
    has_same_beam = True

    @property
    def packages(self) -> Sequence[str]:
        """tensorflow-text where text/ can be written."""
        has_text = importlib.util.find_spec("tensorflow_text") is not None
        return ("tensorflow", "numpy", *(["tensorflow-text"] if has_text else []))

    def refuse(self, config: ResolvedConfig) -> str | None:
        """Refuses no run."""
        return None

    def write(
        self, folder: Path, seq2seq: Seq2Seq, config: ResolvedConfig, precision: str
    ) -> Sequence[str]:
        """Writes the graphs; text/ is left out where it is not possible."""
        search = serving_function(seq2seq, config)
        _write(folder / "ids", search, [SOURCE_IDS], seq2seq)
        if reason := why_left_out(config):
            return [reason]
        longest = config.decoding.max_source_length
        assert longest is not None  # resolved
        with native_stderr_silenced():  # SentencePiece says how it normalises
            graph = TextGraph(search, folder, longest)
            _write(folder / "text", graph, [TEXTS], seq2seq, graph)
        return ()


def _write(
    folder: Path, function: Any, signature: list[Any], seq2seq: Seq2Seq, *needed: Any
) -> None:
    archive = keras.export.ExportArchive()
    for one in (seq2seq.encoder, seq2seq.decoder, *needed):
        archive.track(one)
    archive.add_endpoint("serve", function, input_signature=signature)
    archive.write_out(folder, verbose=False)
