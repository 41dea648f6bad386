"""Trainings in which everything is real but the arithmetic of the step and of the validation.

Compiling a step takes ten seconds; what surrounds it (preparing, resuming, selecting, saving,
repairing) is tested on steps that are not compiled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s2s_cli.runs.run import Run
from s2s_cli.training import run as training_run
from s2s_cli.training.events import ValidationResult
from s2s_cli.training.step import TrainingStep
from s2s_cli.training.validation import Validation

Metrics = dict[str, float]
TIMES = {"seconds", "source_tokens_per_second", "target_tokens_per_second"}


def default_metrics(step: int) -> Metrics:
    """Metrics that rise and fall, and are never the same twice."""
    loss = 3 - 0.02 * step + math.sin(step)
    return {"loss": loss, "bleu": 10 - loss, "chrf": 20 - loss, "token_accuracy": 1 / loss}


def use_light_step(
    monkeypatch: pytest.MonkeyPatch, is_finite: Callable[[int, float], bool] = lambda *_: True
) -> None:
    """Trainings of this process take the steps of `light_step`."""
    monkeypatch.setattr(training_run, "TrainingStep", light_step(is_finite))


def light_step(
    is_finite: Callable[[int, float], bool] = lambda *_: True,
) -> type[TrainingStep]:
    """A step that follows from weights, batch and rate alone, and is not compiled.

    `is_finite(step, learning rate)` says which steps are taken.
    """

    class LightStep(TrainingStep):
        def __call__(self, batches: Any, step: int, learning_rate: float) -> Metrics:
            source_tokens = sum(np.count_nonzero(batch["source_ids"]) for batch in batches)
            target_tokens = sum(np.count_nonzero(batch["target_out_ids"]) for batch in batches)
            taken = is_finite(step, learning_rate)
            self._workers.gather()  # a step is taken by all of them
            if taken:
                pull = learning_rate * float(np.mean(batches[-1]["source_ids"]))
                for variable in (self._weights[0], self._weights[-1], *self._momenta()):
                    variable.assign(0.9 * variable.numpy() + pull)
                self.optimizer.iterations.assign_add(1)
            return {
                "loss": 2.0 * target_tokens,
                "nll": 1.0 * target_tokens,
                "correct": 0.5 * target_tokens,
                "weight": 1.0 * target_tokens,
                "source_tokens": source_tokens,
                "target_tokens": target_tokens,
                "is_finite": float(taken),
            }

        def _momenta(self) -> list[Any]:
            named = self.optimizer_variables()
            return [v for name, v in named.items() if name.endswith("bias/momentum")]

    return LightStep


def use_light_validation(
    monkeypatch: pytest.MonkeyPatch, metrics: Callable[[int], Metrics] = default_metrics
) -> None:
    """Validations of this process give `metrics(step)`, whatever the model has learned."""

    class LightValidation(Validation):
        def __call__(self, step: int) -> ValidationResult:
            found = metrics(step)
            return ValidationResult({"perplexity": math.exp(found["loss"]), **found})

    monkeypatch.setattr(training_run, "Validation", LightValidation)


def of_kind(events: list[Any], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def saved_arrays(run: Path, checkpoint: str = "latest") -> dict[str, bytes]:
    """The weights and the optimizer of a checkpoint, as the bytes of their files."""
    folder = Run(run).find_checkpoint(checkpoint)
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.safetensors"))}


def metrics_of(run: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl, without times."""
    lines = Run(run).metrics_file.read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in lines]


def validations_of(run: Path) -> list[dict[str, Any]]:
    """The validations in the configured intervals, as they are in metrics.jsonl."""
    lines = metrics_of(run)
    return [line for line in lines if line["event"] == "validation" and line["in_sequence"]]


def outcome(run: Path) -> tuple:
    """All of a run that must not depend on how often its training was interrupted."""
    translations = {
        path.name: path.read_bytes()
        for path in sorted((run / "translations").iterdir())
        # Other tests evaluate the shared run, which adds records to it.
        if not path.name.startswith("evaluation-")
    }
    best = Run(run).find_checkpoint("best").name
    return saved_arrays(run), metrics_of(run), translations, best


def damage(path: Path) -> None:
    """Flips a bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
