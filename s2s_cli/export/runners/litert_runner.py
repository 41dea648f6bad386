"""Searches with model.tflite, one source after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

PAD, EOS = 0, 3


class Runner:
    """The best translation of token ids, by the search in the graph."""

    def __init__(self, folder: Path, settings: dict[str, Any]):
        self._interpreter = Interpreter(str(folder / "model.tflite"))
        self._serve = self._interpreter.get_signature_runner("serve")
        self._shape = self._serve.get_input_details()["source_ids"]["shape"]

    def search(self, sources: list[list[int]]) -> list[list[int]]:
        """The ids of the best translation of each source, with `</s>` where it was reached."""
        return [self._search(source) for source in sources]

    def _search(self, source: list[int]) -> list[int]:
        row = np.full(self._shape, PAD, np.int32)
        row[0, : len(source) + 1] = [*source, EOS]
        return [int(i) for i in self._serve(source_ids=row)["ids"][0] if i != PAD]
