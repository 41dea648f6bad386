"""Begins a training with the weights, and the tokenizer, of another run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from s2s_cli.config.schema import Config, FileFingerprint, InitializeFrom, ResolvedConfig
from s2s_cli.config.schema import Tokenizer as TokenizerSettings
from s2s_cli.decoding.translator import load_tokenizers
from s2s_cli.errors import ConfigError
from s2s_cli.files import write_bytes
from s2s_cli.model.embeddings import vocabulary_axis
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.runs.checkpoint import (
    checksums,
    inference_weights_file,
    read_all_inference_weights,
)
from s2s_cli.runs.run import Run, step_of
from s2s_cli.text.tokenizer import Tokenizers
from s2s_cli.training.events import WeightsInitialized

SETTING = "training.initialize_from"

Array = NDArray[Any]
# For each side, the ids of the tokens that both vocabularies have: the new ids, and the old ones.
SharedIds = Mapping[str, tuple[Array, Array]]


@dataclass(frozen=True)
class InitialRun:
    """The run that `training.initialize_from` names, and its checkpoint."""

    settings: InitializeFrom
    run: Run
    config: ResolvedConfig
    checkpoint: Path

    @classmethod
    def of(cls, config: Config, run: Run) -> InitialRun | None:
        """The run that a training in `run` begins with, if there is one.

        Raises S2SError where it cannot be read, or has a model of another family.
        """
        settings = config.training.initialize_from
        if settings is None:
            return None
        initial = Run(Path(settings.run), run.families)
        found = initial.config()
        if type(found.model) is not type(config.model):
            raise ConfigError(
                f"{SETTING}: {settings.run} has a model of architecture {found.model.architecture},"
                f" and model.architecture is {config.model.architecture}.",
                "Give the new run the section `model` of that run.",
            )
        return cls(settings, initial, found, initial.find_checkpoint(str(settings.checkpoint)))

    @property
    def fingerprint(self) -> FileFingerprint:
        """The weights, as a file that the training reads."""
        file = inference_weights_file(self.checkpoint)
        sha256 = checksums(self.checkpoint)[file.name]
        return FileFingerprint(key=f"{SETTING}.run", path=str(file.resolve()), sha256=sha256)

    def tokenizer_for(self, config: Config) -> TokenizerSettings:
        """The section `tokenizer` that a training of `config` has.

        Raises ConfigError where a setting in it is not that of the tokenizer that is taken.
        """
        if not self.settings.tokenizer:
            return config.tokenizer
        taken = self.config.tokenizer
        given = config.tokenizer.model_dump(include=config.tokenizer.model_fields_set)
        others = [
            f"{name} is {value} ({getattr(taken, name)} there)"
            for name, value in given.items()
            if value != getattr(taken, name)
        ]
        if others:
            raise ConfigError(
                f"{SETTING} takes the tokenizer of {self.settings.run}, but the section `tokenizer`"
                f" differs: {', '.join(others)}.",
                f"Leave out the section `tokenizer`, or set {SETTING}.tokenizer: false to learn a new"
                " one.",
            )
        return taken

    def tokenizers(self) -> Tokenizers:
        """The tokenizers of the run. Raises RunError."""
        return load_tokenizers(self.run, self.config, self.checkpoint)

    def load_into(self, seq2seq: Seq2Seq, tokenizers: Tokenizers) -> WeightsInitialized:
        """Assigns the weights whose path and shape the model has, and reports what was taken.

        With another vocabulary, the entries of tokens that both have are taken. Raises ConfigError
        where there is nothing to take.
        """
        given = read_all_inference_weights(self.checkpoint)
        shared = _shared_ids(tokenizers, self.tokenizers())
        not_taken = []
        for path, weight in seq2seq.weights.items():
            clause = _take(weight, path, given.get(path), shared)
            if clause is not None:
                not_taken.append(f"{path} {clause}")
        count = len(seq2seq.weights)
        if len(not_taken) == count:
            raise ConfigError(
                f"{SETTING}: no weight of {self.settings.run} fits this model: {'; '.join(not_taken)}.",
                "Give the new run the section `model` of that run.",
            )
        tokens = tuple(
            (side, len(ids), size)
            for (side, (ids, _)), size in zip(shared.items(), tokenizers.vocab_sizes, strict=False)
        )
        return WeightsInitialized(
            self.settings.run,
            step_of(self.checkpoint),
            count - len(not_taken),
            count,
            tuple(not_taken),
            tokens or None,
        )


def _shared_ids(new: Tokenizers, old: Tokenizers) -> SharedIds:
    """The ids of shared tokens; nothing where both vocabularies are the same."""
    sides = {"source": (new.source, old.source), "target": (new.target, old.target)}
    if all(ours.tokens() == theirs.tokens() for ours, theirs in sides.values()):
        return {}
    found = {}
    for side, (ours, theirs) in sides.items():
        old_ids = {token: number for number, token in enumerate(theirs.tokens())}
        pairs = [(i, old_ids[token]) for i, token in enumerate(ours.tokens()) if token in old_ids]
        columns = np.array(pairs, np.int64).reshape(-1, 2).T
        found[side] = (columns[0], columns[1])
    return found


def _take(weight: keras.Variable, path: str, given: Array | None, shared: SharedIds) -> str | None:
    """Assigns what is given for a weight; or returns why that cannot be, as a clause."""
    if given is None:
        return "is not in that run"
    shape, axis = tuple(weight.shape), vocabulary_axis(path)
    if axis is None or not shared:
        if given.shape != shape:
            return f"has shape {shape}, there {given.shape}"
        weight.assign(given)
        return None
    side, along = axis
    if _without(shape, along) != _without(given.shape, along):
        return f"has shape {shape}, there {given.shape}"
    new_ids, old_ids = shared[side]
    values = np.array(keras.ops.convert_to_numpy(weight))
    np.moveaxis(values, along, 0)[new_ids] = np.moveaxis(given, along, 0)[old_ids]
    weight.assign(values)
    return None


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], *shape[axis + 1 :])


def copy_tokenizers(config: ResolvedConfig, run: Run) -> None:
    """Copies the tokenizers of the run to begin with into `run`. Raises RunError."""
    initial = InitialRun.of(config, run)
    assert initial is not None
    initial.tokenizers()  # which are whole
    for side in ("source", "target"):
        path = initial.run.tokenizer_file(side)
        for file in (path, path.with_suffix(".vocab")):
            if file.is_file():
                write_bytes(run.tokenizer_folder / file.name, file.read_bytes())
