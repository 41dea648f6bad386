"""Turns a file of sentence pairs into a translation model: train, translate, export.

    import s2s_cli as s2s

    for event in s2s.train("config.yaml", run="runs/mine"):
        ...
    translator = s2s.load("runs/mine", beam_size=5)
    print(translator.translate(["A sentence."])[0].text)

Importing this package imports nothing heavy and changes nothing in the process; nothing in it
prints, exits or handles signals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2s_cli.errors import S2SError

if TYPE_CHECKING:
    from s2s_cli.config.schema import Config
    from s2s_cli.decoding.translation import Translation
    from s2s_cli.decoding.translator import Translator
    from s2s_cli.runs.run import Run
    from s2s_cli.training.events import PreparationEvent, TrainingEvent

    RunLike = str | Path | Run

__version__ = "0.3.0"

__all__ = ["S2SError", "Translation", "Translator", "__version__", "load", "train"]


def load(
    run: RunLike | Sequence[RunLike],
    *,
    checkpoint: str = "best",
    threads: int | None = None,
    **decoding: Any,
) -> Translator:
    """Loads a trained run, or several with the same vocabularies as an ensemble.

    In an ensemble, each token has the mean of its probabilities in all runs, and the settings are
    those of the first run. `checkpoint` is best, latest, or the number of a step; `threads` bounds
    the processor's threads (None: all; it has no effect where TensorFlow is in use already); all
    else are settings of the section `decoding`, such as beam_size=5, in place of those of the run.
    Raises S2SError.
    """
    from s2s_cli import runtime
    from s2s_cli.config.load import override_decoding
    from s2s_cli.runs.run import Run

    given = [run] if isinstance(run, str | Path | Run) else run
    runs = [_as_run(one) for one in given]
    if not runs:
        raise S2SError("load: the list of runs is empty.", "Give at least one run directory.")
    chosen = override_decoding(runs[0].config(), **decoding)
    runtime.start(threads)
    from s2s_cli.decoding.translator import Translator

    return Translator.from_runs(runs, checkpoint, chosen)


def train(
    config: str | Path | Config,
    run: RunLike | None = None,
    *,
    overrides: tuple[str, ...] = (),
    threads: int | None = None,
    force: bool = False,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Iterator[PreparationEvent | TrainingEvent]:
    """Trains a model, or resumes a training; yields what happens (`s2s_cli.training.events`).

    `config` is a YAML file, with `overrides` such as "training.max_steps=100", or a Config;
    `run` is the run directory, by default runs/<name of the file>. The training goes on as its
    events are read; `stop_requested` is asked after each step, and True saves and ends it.
    With `force`, a run resumes with changed settings that the rest of the training depends on.
    Raises S2SError.
    """
    import os

    from s2s_cli import runtime
    from s2s_cli.config.load import load_config

    if isinstance(config, str | Path):
        run = run or Path("runs") / Path(config).stem
        config = load_config(Path(config), overrides)
    if run is None:
        raise S2SError("train: a Config has no file name.", "Give the run directory as `run`.")
    runtime.start(threads, inter_op_threads=2, deterministic=config.training.deterministic)
    from s2s_cli.training.run import train

    yield from train(
        _as_run(run),
        config,
        threads=threads or os.cpu_count() or 1,
        force=force,
        stop_requested=stop_requested,
    )


def _as_run(run: RunLike) -> Run:
    from s2s_cli.runs.run import Run

    return run if isinstance(run, Run) else Run(Path(run))


def __getattr__(name: str) -> Any:
    """Imports the classes of the interface when they are first used, as they need TensorFlow."""
    if name == "Translator":
        from s2s_cli.decoding.translator import Translator

        return Translator
    if name == "Translation":
        from s2s_cli.decoding.translation import Translation

        return Translation
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
