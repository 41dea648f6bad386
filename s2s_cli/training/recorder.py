"""metrics.jsonl: one line an event; and TensorBoard's event files where they are wanted."""

from __future__ import annotations

import importlib.util
import json
import math
from dataclasses import asdict
from typing import Any

import tensorflow as tf

from s2s_cli.errors import ConfigError, pip_install_hint
from s2s_cli.runs.run import Run
from s2s_cli.training.events import Progress, RolledBack, TrainingEvent, Validated


class Recorder:
    """Appends the figures of events to the metrics of a run."""

    def __init__(self, run: Run, tensorboard: bool):
        self._summaries = None
        if tensorboard:
            if importlib.util.find_spec("tensorboard") is None:
                raise ConfigError(
                    "training.tensorboard is true, but TensorBoard is not installed.",
                    pip_install_hint("tensorboard"),
                )
            self._summaries = tf.summary.create_file_writer(str(run.tensorboard))
        self._path = run.metrics_file
        self._file = open(self._path, "a", encoding="utf-8")

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._summaries:
            self._summaries.close()

    def reopen(self) -> None:
        """Continues after what the file holds now."""
        self._file.close()
        self._file = open(self._path, "a", encoding="utf-8")

    def __call__(self, event: TrainingEvent) -> None:
        """Records an event that has figures."""
        if isinstance(event, Progress):
            figures = asdict(event)
            self._write({"event": "progress", **figures})
            self._summarize("training", figures)
        elif isinstance(event, RolledBack):
            self._write({"event": "rollback", **asdict(event)})
        elif isinstance(event, Validated):
            line = {"event": "validation", "step": event.step, "epoch": event.epoch}
            figures = {**event.result.metrics, "seconds": event.seconds}
            selection = {"best": event.is_best, "in_sequence": event.in_sequence}
            self._write({**line, **figures, **selection})
            self._summarize("validation", {**line, **figures})

    def _write(self, line: dict[str, Any]) -> None:
        # JSON has no word for what is not finite.
        line = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in line.items()
        }
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def _summarize(self, prefix: str, figures: dict[str, Any]) -> None:
        if self._summaries is None:
            return
        with self._summaries.as_default(step=figures["step"]):
            for name, value in figures.items():
                if isinstance(value, float):
                    tf.summary.scalar(f"{prefix}/{name}", value)
