"""Searches with search.onnx, all sources of a call as one batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

PAD, BOS, EOS = 0, 2, 3


class Runner:
    """The best translation of token ids, by the search in the graph."""

    def __init__(self, folder: Path, settings: dict[str, Any]):
        self._folder = folder
        self._search = session(folder / "search.onnx")

    def search(self, sources: list[list[int]]) -> list[list[int]]:
        """The ids of the best translation of each source, with `</s>` where it was reached."""
        longest = max(map(len, sources)) + 1
        rows = np.full((len(sources), longest), PAD, np.int32)
        for row, source in zip(rows, sources, strict=True):
            row[: len(source) + 1] = [*source, EOS]
        (found,) = self._search.run(["ids"], {"source_ids": rows})
        return [[int(i) for i in ids if i != PAD] for ids in found]

    def logits(self, source: list[int], target: list[int]) -> np.ndarray:
        """The logits (L+1,V) after each of L target ids, by encoder.onnx and decoder.onnx."""
        encoder, decoder = (
            session(self._folder / f"{name}.onnx") for name in ("encoder", "decoder")
        )
        names = [output.name for output in encoder.get_outputs()]
        values = encoder.run(names, {"source_ids": np.array([[*source, EOS]], np.int32)})
        given = dict(zip(names, values, strict=True))
        wanted = {one.name for one in decoder.get_inputs()}  # a graph has what it uses
        found = []
        for last in [BOS, *target]:
            given["target_in_ids"] = np.array([[last]], np.int32)
            names = [output.name for output in decoder.get_outputs()]
            values = decoder.run(names, {n: v for n, v in given.items() if n in wanted})
            outputs = dict(zip(names, values, strict=True))
            found.append(outputs.pop("logits")[0])
            given.update((name.removeprefix("next_"), value) for name, value in outputs.items())
        return np.stack(found)


def session(path: Path) -> onnxruntime.InferenceSession:
    """A model that is ready to run on the processor."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors: no advice on how the graph could be faster
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
