"""Searches with the SavedModel, all sources of a call as one batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

PAD, EOS = 0, 3


class Runner:
    """The best translation of token ids, by the search in the graph."""

    def __init__(self, folder: Path, settings: dict[str, Any]):
        self._model = tf.saved_model.load(str(folder / "saved_model"))

    def search(self, sources: list[list[int]]) -> list[list[int]]:
        """The ids of the best translation of each source, with `</s>` where it was reached."""
        longest = max(map(len, sources)) + 1
        rows = np.full((len(sources), longest), PAD, np.int32)
        for row, source in zip(rows, sources, strict=True):
            row[: len(source) + 1] = [*source, EOS]
        found = self._model.serve(tf.constant(rows))["ids"].numpy()
        return [[int(i) for i in ids if i != PAD] for ids in found]
