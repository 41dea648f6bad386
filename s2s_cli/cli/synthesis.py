"""What `s2s backtranslate` and `s2s distill` have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from s2s_cli.cli import console

if TYPE_CHECKING:
    from s2s_cli.config.schema import Decoding
    from s2s_cli.synthesis.synthesize import Task

OutputFile = Annotated[
    str,
    typer.Option(
        "-o",
        "--output",
        help="Corpus to write, NAME.jsonl; data.train reads it as `path: NAME.jsonl`.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that exists.")]


def make_corpus(
    task: Task,
    decoding: Decoding,
    sentences: Iterator[str],
    *,
    total: int | None,
    force: bool,
    entry: str,
) -> None:
    """Makes the corpus of a task with a bar, and says how it is trained on: `entry` is how
    `data.train` names it, after its path."""
    from s2s_cli.decoding.translator import Translator
    from s2s_cli.synthesis.synthesize import describe_left_out, synthesize

    translator = Translator.from_runs(task.runs, task.checkpoint, decoding)
    with console.Meter("translating", total, "sentence") as meter:
        made = synthesize(task, translator, sentences, force=force, on_done=meter.add)
    left_out = describe_left_out(made.counts)
    console.say(
        f"{'unchanged' if made.was_there else 'wrote'} {made.corpus}: {made.counts.written:,} pairs"
        + (f" (left out: {left_out})" if left_out else "")
    )
    console.say(f"what made it: {made.record}")
    console.say("To train on it, add it to data.train, with a weight for each corpus:")
    console.say(f"  {{path: {made.corpus}{entry}, mixing_weight: 1}}", bold=True)
