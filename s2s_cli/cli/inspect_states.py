"""`s2s inspect` of sentences: the hidden states and attentions on the way to their translations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from s2s_cli.cli import console
from s2s_cli.cli.process import start_tensorflow
from s2s_cli.errors import ConfigError

if TYPE_CHECKING:
    from s2s_cli.inspection.states import States


def inspect_states(
    what: Path, sentences: list[str], file: Path | None, mean: str | None, checkpoint: str
) -> None:
    """Writes the states to a file, and prints what there is, or the mean of one of them."""
    from s2s_cli.runs.run import Run

    run = Run(what)
    if what.is_file():
        raise ConfigError(f"{what}: a config has no trained weights.", "Give a run directory.")
    run.config()
    run.find_checkpoint(checkpoint)
    start_tensorflow(None)
    from s2s_cli.decoding.translator import Translator

    states = Translator.from_run(run, checkpoint).states(sentences)
    if file is not None:
        states.save(file)
        console.say(f"{file} is written")
    lines = table(states) if mean is None else means(states, mean)
    console.print_report((line, None) for line in lines)


def table(states: States) -> Iterator[str]:
    """What there is: names and shapes."""
    for source, target in zip(states.source_tokens, states.target_tokens, strict=True):
        yield f"source  {' '.join(source)}"
        yield f"target  {' '.join(target)}"
    yield ""
    width = max(map(len, states.arrays))
    for name, values in states.arrays.items():
        yield f"{name:<{width}}  {'×'.join(map(str, values.shape)):<14}  {values.dtype}"


def means(states: States, name: str) -> Iterator[str]:
    """The mean of a state over tokens, and what a plain average over padding gives."""
    right, plain = states.mean(name), states.mean_over_padding(name)
    counts = states.mask_of(name).sum(axis=1)
    yield f"The mean of {name} over the tokens of each sentence, {right.shape[1]} values each."
    for row, (values, other, count) in enumerate(zip(right, plain, counts, strict=True)):
        padding = states.mask_of(name).shape[1] - int(count)
        shown = " ".join(f"{value:8.4f}" for value in values[:8])
        yield f"{row + 1}: {shown}{' …' if len(values) > 8 else ''}"
        difference = float(np.abs(values - other).max())
        yield f"   {int(count)} tokens, {padding} padding; a plain average differs by up to {difference:.4f}"
