"""Searches with the SavedModels, all sources of a call as one batch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

PAD, EOS = 0, 3


class Runner:
    """The best translation of token ids, by the search in the graph."""

    def __init__(self, folder: Path, settings: dict[str, Any]):
        self._folder, self._size = folder, settings["batch_size"]
        self._model = tf.saved_model.load(str(folder / "ids"))

    def search(self, sources: list[list[int]]) -> list[list[int]]:
        """The ids of the best translation of each source, with `</s>` where it was reached."""
        longest = max(map(len, sources)) + 1
        rows = np.full((len(sources), longest), PAD, np.int32)
        for row, source in zip(rows, sources, strict=True):
            row[: len(source) + 1] = [*source, EOS]
        found = self._model.serve(tf.constant(rows))["ids"].numpy()
        return [[int(i) for i in ids if i != PAD] for ids in found]

    def from_text(self, sentences: list[str]) -> list[tuple[str, list[int], bool]]:
        """The translation of each sentence by text/, its ids, and whether the sentence was cut."""
        if not (self._folder / "text").is_dir():
            return []
        import tensorflow_text  # noqa: F401  it has operations of the graph

        model, found = tf.saved_model.load(str(self._folder / "text")), []
        for start in range(0, len(sentences), self._size):
            some = sentences[start : start + self._size]
            # A lone surrogate is no text.
            texts = [re.sub("[\ud800-\udfff]", "\ufffd", one).encode() for one in some]
            batch = {name: value.numpy() for name, value in model.serve(tf.constant(texts)).items()}
            for text, ids, was_cut in zip(
                batch["text"], batch["ids"], batch["was_cut"], strict=True
            ):
                found.append((text.decode(), [int(i) for i in ids if i != PAD], bool(was_cut)))
        return found
