"""The weights that are validated, translated with and exported: current ones, or an average."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import keras
import numpy as np

from s2s_cli.config.schema import Averaging
from s2s_cli.errors import RunError
from s2s_cli.runs.checkpoint import read_weights
from s2s_cli.runs.run import Run


def earlier_steps(settings: Averaging, step: int) -> list[int]:
    """The steps before `step` whose weights are averaged with those of `step`, latest first."""
    if settings.method != "checkpoints":
        return []
    latest = (step - 1) // settings.interval
    numbers = range(latest, max(0, latest - settings.checkpoints + 1), -1)
    return [settings.interval * number for number in numbers]


class InferenceWeights:
    """The weights for inference of a training: the same function of its step in every session.

    `weights` are all weights of the model by path, `moving_averages` those of which a moving
    average is taken.
    """

    def __init__(
        self,
        run: Run,
        settings: Averaging,
        weights: Mapping[str, keras.Variable],
        moving_averages: Mapping[str, keras.Variable],
    ):
        self._run, self._settings = run, settings
        self._weights, self._moving_averages = weights, moving_averages
        self._mean: tuple[int, Mapping[str, Any]] = 0, {}

    def at(self, step: int) -> Mapping[str, Any]:
        """Variables or arrays by path, where the training has just taken this step."""
        if self._settings.method != "checkpoints":
            return {**self._weights, **self._moving_averages}
        if self._mean[0] != step:
            self._mean = step, self._mean_at(step)
        return self._mean[1]

    def _mean_at(self, step: int) -> Mapping[str, Any]:
        """The mean of the current weights and those of earlier checkpoints, float32."""
        sums = {
            path: np.array(keras.ops.convert_to_numpy(weight))
            for path, weight in self._weights.items()
        }
        shapes = {path: value.shape for path, value in sums.items()}
        folders = map(self._run.checkpoint, earlier_steps(self._settings, step))
        count = 1
        for folder in folders:
            # What is damaged was reported when the training began.
            with suppress(RunError):
                for path, value in read_weights(folder, shapes).items():
                    sums[path] += value
                count += 1
        return {path: value / np.float32(count) for path, value in sums.items()}
