"""Every word, bar and table that a person sees. Translations go to stdout, the rest to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer
from tqdm import tqdm

from s2s_cli.errors import S2SError
from s2s_cli.events import (
    DataReady,
    Finished,
    Mended,
    ModelReady,
    PreparationEvent,
    Progress,
    SetBack,
    StepDone,
    StepSkipped,
    TokenizerLearned,
    TrainingEvent,
    Validated,
    VectorsMatched,
)
from s2s_cli.report import report_lines

if TYPE_CHECKING:
    from pathlib import Path

    from s2s_cli.commands.translate import Oddities
    from s2s_cli.evaluation import Score
    from s2s_cli.export.proof import Proof
    from s2s_cli.schema import Decoding
    from s2s_cli.text.findings import Report


def say(text: str = "", **style: Any) -> None:
    """A line on stderr; typer drops its colours where stderr is no terminal."""
    typer.secho(text, err=True, **style)


def error(problem: S2SError) -> None:
    """A mistake and what to do about it."""
    say(f"error: {problem.message}", fg="red")
    if problem.hint:
        say(f"hint: {problem.hint}")


class TrainingView:
    """Shows the events of a training: a bar on a terminal, plain lines elsewhere."""

    def __init__(self, max_steps: int | None, max_seconds: float | None, epochs: int | None):
        self._max_steps, self._max_seconds, self._epochs = max_steps, max_seconds, epochs
        self._bar: tqdm | None = None
        self._is_terminal = sys.stderr.isatty()
        self._signatures_shown = False

    def show(self, event: PreparationEvent | TrainingEvent) -> None:
        """Shows one event."""
        match event:
            case Mended():
                self._line(f"warning: {event.damage}; {event.remedy}", fg="yellow")
            case TokenizerLearned():
                self._tokenizer_learned(event)
            case DataReady():
                self._data_ready(event)
            case VectorsMatched():
                self._vectors_matched(event)
            case ModelReady():
                self._model_ready(event)
            case StepDone():
                self._step_done(event)
            case StepSkipped():
                self._step_skipped(event)
            case SetBack():
                self._set_back(event)
            case Progress():
                self._progress(event)
            case Validated():
                self._validated(event)
            case Finished():
                self._finished(event)

    def close(self) -> None:
        """Takes the bar off the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _line(self, text: str, **style: Any) -> None:
        if self._bar is not None:
            self._bar.clear()
        say(text, **style)
        if self._bar is not None:
            self._bar.refresh()

    def _tokenizer_learned(self, event: TokenizerLearned) -> None:
        side = "" if event.side == "shared" else f"{event.side} "
        self._line(f"learned a {side}vocabulary of {event.types:,} types")

    def _data_ready(self, event: DataReady) -> None:
        self._line(f"training pairs    {_counts(event.train)}")
        if event.validation:
            self._line(f"validation pairs  {_counts(event.validation)}")
        else:
            self._line("validation pairs  none: the last checkpoint is taken for the best")

    def _vectors_matched(self, event: VectorsMatched) -> None:
        self._line(
            f"start vectors     {event.matched:,} of {event.types:,} types from {event.path}"
        )

    def _model_ready(self, event: ModelReady) -> None:
        size = f", batches of {event.batch_tokens:,} tokens" if event.batch_tokens else ""
        self._line(
            f"model             {event.architecture}, {event.parameters:,} parameters,"
            f" {event.precision}{size}"
        )
        for change in event.changes:
            self._line(f"changed           {change}")
        begins = f"goes on at step {event.step:,}" if event.step else "begins"
        self._line(f"training {begins} in {event.run}; Ctrl-C saves and stops")

    def _step_done(self, event: StepDone) -> None:
        if not self._is_terminal:
            return
        if self._bar is None:
            self._bar = tqdm(
                total=self._total(event),
                initial=event.step - 1,
                unit="step",
                dynamic_ncols=True,
                smoothing=0.05,
            )
        self._bar.total = self._total(event)
        self._bar.set_description(f"epoch {event.epoch}", refresh=False)
        self._bar.update(event.step - self._bar.n)

    def _step_skipped(self, event: StepSkipped) -> None:
        if event.in_a_row == 1:
            place = f"batch {event.index:,} of epoch {event.epoch}"
            self._line(
                f"warning: at step {event.step:,} ({place}) the loss or its gradient is not"
                " finite; the step is skipped",
                fg="yellow",
            )

    def _set_back(self, event: SetBack) -> None:
        self._line(
            f"warning: no loss is finite any more; going back from step {event.step:,} to"
            f" {event.to_step:,}, with {event.rate_scale:g} of the learning rate",
            fg="yellow",
        )

    def _total(self, event: StepDone) -> int:
        """The step at which the first limit will be reached, as far as can be told."""
        before = event.step - event.index
        totals = [self._max_steps] if self._max_steps else []
        if self._epochs:
            totals.append(before + event.batches * max(1, self._epochs - event.epoch + 1))
        if self._max_seconds:
            totals.append(int(event.step * self._max_seconds / max(event.seconds, 1e-9)))
        return max(event.step, min(totals, default=before + event.batches))

    def _progress(self, event: Progress) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(
                f"loss {event.loss:.3f}, lr {event.learning_rate:.2g}, "
                f"{event.source_tokens_per_second:,.0f}+{event.target_tokens_per_second:,.0f} tok/s"
            )
            return
        self._line(
            f"step {event.step:>7,}  epoch {event.epoch}  loss {event.loss:.4f}"
            f"  ppl {event.perplexity:.2f}  acc {100 * event.token_accuracy:.1f}%"
            f"  lr {event.learning_rate:.3g}"
            f"  source {event.source_tokens_per_second:,.0f} tok/s"
            f"  target {event.target_tokens_per_second:,.0f} tok/s  {clock(event.seconds)}"
            + (f"  {event.skipped} skipped" if event.skipped else "")
        )

    def _validated(self, event: Validated) -> None:
        metrics = event.result.metrics
        best = "  best so far" if event.is_best else ""
        self._line(
            f"validation at step {event.step:,}: loss {metrics['loss']:.4f}"
            f"  ppl {metrics['perplexity']:.2f}  acc {100 * metrics['token_accuracy']:.1f}%"
            f"  BLEU {metrics['bleu']:.2f}  chrF {metrics['chrf']:.2f}{best}",
            fg="green" if event.is_best else None,
        )
        if not self._signatures_shown:
            for name, signature in event.result.signatures.items():
                self._line(f"    {name:<10} {signature}")
            self._signatures_shown = True
        for sample in event.result.samples:
            self._line(f"    source     {sample.source}\n    reference  {sample.reference}")
            self._line(f"    model      {sample.translation}")

    def _finished(self, event: Finished) -> None:
        self.close()
        ended = "stopped" if event.interrupted else "finished"
        say(f"training {ended} at step {event.step:,} after {clock(event.seconds)}: {event.reason}")


def _counts(counts: Any) -> str:
    left_out = [
        f"{number:,} {what}"
        for number, what in (
            (counts.empty_side, "with an empty side"),
            (counts.too_long, "too long"),
            (counts.uneven, "uneven in length"),
            (counts.identical, "with identical sides"),
        )
        if number
    ]
    return f"{counts.pairs:,}" + (f" (left out: {', '.join(left_out)})" if left_out else "")


def stopping() -> None:
    """What an interrupted training does next."""
    say("stopping after this step; once more stops at once")


def stopped(while_stopping: bool) -> None:
    """What an interruption has left."""
    if while_stopping:
        say("stopped at once; the same command goes on from the last checkpoint")
    else:
        say("interrupted before the first step; the same command begins or goes on as before")


def trained(run: Path, best_step: int) -> None:
    """What to type next."""
    say(f"best checkpoint: step {best_step:,}. Next:")
    say(f"  s2s translate {run} -i FILE", bold=True)
    say(f"  s2s export {run} --format keras", bold=True)


def oddities(found: Oddities, decoding: Decoding) -> None:
    """Lines that could not be translated as they were."""
    became = {"split": "translated in parts", "truncate": "cut off there"}[decoding.long_sources]
    for numbers, what in (
        (found.not_utf8, "not UTF-8; U+FFFD stands where it is not (--errors strict stops there)"),
        (
            found.too_long,
            f"longer than {decoding.max_source_length} pieces and {became} (--long-sources)",
        ),
    ):
        if numbers:
            lines = "1 line is" if len(numbers) == 1 else f"{len(numbers):,} lines are"
            say(f"warning: {lines} {what}; the first is line {numbers[0]:,}", fg="yellow")


def scores(found: list[Score]) -> None:
    """A table of scores on stdout."""
    for score in found:
        typer.echo(f"{score.name.upper():<5} {score.value:6.2f}  {score.signature}")


def checked(report: Report, *, as_json: bool) -> None:
    """What `s2s check` found, on stdout: for people, or one JSON object."""
    if as_json:
        typer.echo(json.dumps(asdict(report)))
        return
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    for line, colour in report_lines(report):
        typer.secho(line, fg=colour)


def exported(output: Path, proof: Proof) -> None:
    """Where an export lies and what was proven of it."""
    same = proof.sentences - proof.ties
    ties = f"; {proof.ties} parted at a tie of two scores" if proof.ties else ""
    say(
        f"a fresh process gave the run's own translations for {same} of {proof.sentences} sentences{ties}"
    )
    say(f"exported to {output}", fg="green")


@contextmanager
def counting(total: int | None, unit: str, show: bool) -> Iterator[Any]:
    """A bar on stderr; gives the function that moves it on."""
    with tqdm(total=total, unit=unit, disable=not show or not sys.stderr.isatty()) as bar:
        yield bar.update


def prompt_lines() -> Iterator[str]:
    """Lines that a person types, until the end of input."""
    say("One sentence a line; Ctrl-D ends.")
    while True:
        typer.echo("> ", nl=False, err=True)
        line = sys.stdin.readline()
        if not line:
            say()
            return
        yield line.rstrip("\n")


def clock(seconds: float) -> str:
    """Seconds as 1:02:03 or 2:03."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
