"""The events of a training on the screen: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from s2s_cli.cli import console
from s2s_cli.cli.console import clock
from s2s_cli.config.schema import Training
from s2s_cli.runs.repair import Repaired
from s2s_cli.text.filters import describe_left_out
from s2s_cli.text.tokenizer import MANY_UNKNOWN
from s2s_cli.training.events import (
    CheckpointSaved,
    CorporaRead,
    DataReady,
    EpochRestarted,
    Finished,
    ModelReady,
    PreparationEvent,
    PreparationProgress,
    Progress,
    RolledBack,
    SelectionReset,
    StepDone,
    StepSkipped,
    SubwordsSampled,
    TokenizerLearned,
    TrainingEvent,
    Validated,
    VectorsMatched,
    WaitingForChief,
    WeightsInitialized,
    WorkersConnected,
)

if TYPE_CHECKING:
    from s2s_cli.text.filters import Counts

# Nats a token: the loss of guessing among a vocabulary of half a billion tokens, and how much more
# than the lowest loss so far counts as diverging.
WORST_GUESS, RISE = 20.0, 3.0


class TrainingView:
    """Shows the events of a training.

    The first line about a new run names its directory with the full path.
    """

    def __init__(self, training: Training, run: Path, *, is_new: bool, has_bar: bool = True):
        self._training, self._run, self._is_new = training, run, is_new
        self._meter: console.Meter | None = None
        self._stage = ""
        self._bar: tqdm[Any] | None = None
        self._is_terminal = has_bar and sys.stderr.isatty()
        self._signatures_shown = False
        self._lowest_loss = math.inf
        self._has_diverged = False

    def show(self, event: PreparationEvent | TrainingEvent) -> None:
        """Shows one event."""
        if self._is_new:
            self._is_new = False
            self._line(f"new run           {self._run.resolve()}")
        if not isinstance(event, PreparationProgress):
            self._close_meter()
        match event:
            case WaitingForChief():
                self._line("waiting for the chief, which prepares the data")
            case WorkersConnected():
                self._line(f"workers           {event.count} are connected")
            case PreparationProgress():
                self._preparation_progress(event)
            case Repaired():
                self._warning(f"{event.damage}; {event.remedy}")
            case TokenizerLearned():
                side = "" if event.side == "shared" else f"{event.side} "
                self._line(f"learned a {side}vocabulary of {event.vocab_size:,} tokens")
            case CorporaRead():
                for path, how in event.read_as:
                    self._line(f"corpus            {Path(path).name} is read as {how}")
                if event.line_ends:
                    ends = "line end" if event.line_ends == 1 else "line ends"
                    self._warning(f"{event.line_ends:,} {ends} inside text replaced by spaces")
            case DataReady():
                self._data_ready(event)
            case VectorsMatched():
                self._line(
                    f"word vectors      {event.matched:,} of {event.vocab_size:,} tokens from"
                    f" {event.path}" + (f" (skipped: {event.skipped})" if event.skipped else "")
                )
            case WeightsInitialized():
                self._weights_initialized(event)
            case SubwordsSampled():
                self._line(
                    f"subword sampling  {event.tokens:,} tokens, {event.plain_tokens:,} without it"
                    + (f" (too long for it: {event.unchanged:,} pairs)" if event.unchanged else "")
                )
            case SelectionReset():
                self._warning(
                    f"best checkpoint, patience and plateau begin anew, as {event.reason}"
                )
            case EpochRestarted():
                self._warning(f"epoch {event.epoch} begins again, as its batches are planned anew")
            case ModelReady():
                self._model_ready(event)
            case StepDone():
                self._step_done(event)
            case StepSkipped():
                self._step_skipped(event)
            case RolledBack():
                self._warning(
                    f"the loss stays not finite; rolled back from step {event.step:,} to"
                    f" {event.to_step:,}, with {event.lr_scale:g} of the learning rate"
                )
            case Progress():
                self._progress(event)
            case Validated():
                self._validated(event)
            case CheckpointSaved():
                pass  # it would interrupt the bar too often
            case Finished():
                self._finished(event)

    def close(self) -> None:
        """Removes the bars from the screen."""
        self._close_meter()
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _line(self, text: str, **style: Any) -> None:
        if self._bar is not None:
            self._bar.clear()
        console.say(text, **style)
        if self._bar is not None:
            self._bar.refresh()

    def _warning(self, text: str) -> None:
        self._line(f"warning: {text}", fg="yellow")

    def _preparation_progress(self, event: PreparationProgress) -> None:
        if self._meter is None or self._stage != event.stage:
            self._close_meter()
            self._stage = event.stage
            self._meter = console.Meter(event.stage, event.total, event.unit)
        self._meter.move_to(event.done)

    def _close_meter(self) -> None:
        if self._meter is not None:
            self._meter.close()
            self._meter = None

    def _data_ready(self, event: DataReady) -> None:
        directions = ", both directions counted" if event.is_bidirectional else ""
        self._line(f"training pairs    {_counts(event.train)}{directions}")
        if event.validation:
            self._line(f"validation pairs  {_counts(event.validation)}")
        else:
            self._line("validation pairs  none: the last checkpoint counts as the best")
        for side, share in zip(("source", "target"), event.unknown, strict=True):
            if share > MANY_UNKNOWN:
                self._warning(
                    f"{share:.1%} of the {side} tokens are <unk>, which the model cannot tell apart;"
                    " a larger tokenizer.vocab_size or subwords (bpe, unigram) have fewer"
                )

    def _weights_initialized(self, event: WeightsInitialized) -> None:
        self._line(
            f"initial weights   {event.taken:,} of {event.weights:,} from {event.run},"
            f" step {event.step:,}"
        )
        for side, shared, tokens in event.shared_tokens or ():
            self._line(f"    {shared:,} of {tokens:,} {side} tokens are in its vocabulary")
        for clause in event.not_taken:
            self._warning(f"not taken: {clause}")

    def _model_ready(self, event: ModelReady) -> None:
        size = f", batches of {event.batch_tokens:,} tokens" if event.batch_tokens else ""
        self._line(
            f"model             {event.architecture}, {event.parameters:,} parameters,"
            f" {event.precision}{size}"
        )
        if event.workers > 1:
            self._line(f"workers           {event.workers}, which share each batch by rows")
        for change in event.changes:
            self._line(f"changed           {change}")
        for warning in event.warnings:
            self._warning(warning)
        begins = f"resumes at step {event.step:,}" if event.step else "begins"
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

    def _total(self, event: StepDone) -> int:
        """The step at which the first limit will be reached, as far as can be estimated."""
        training = self._training
        before = event.step - event.index
        totals = [training.max_steps] if training.max_steps else []
        if training.epochs:
            totals.append(before + event.batches * max(1, training.epochs - event.epoch + 1))
        if training.max_minutes:
            totals.append(int(event.step * 60 * training.max_minutes / max(event.seconds, 1e-9)))
        return max(event.step, min(totals, default=before + event.batches))

    def _step_skipped(self, event: StepSkipped) -> None:
        if event.in_a_row == 1:
            self._warning(
                f"at step {event.step:,} (batch {event.index:,} of epoch {event.epoch}) the loss or"
                " its gradient is not finite; the step is skipped"
            )

    def _progress(self, event: Progress) -> None:
        self._warn_of_divergence(event)
        if self._bar is not None:
            self._bar.set_postfix_str(
                f"loss {event.loss:.3f}, lr {event.learning_rate:.2g}, "
                f"{event.source_tokens_per_second:,.0f}+{event.target_tokens_per_second:,.0f} tok/s"
            )
            return
        self._line(
            f"step {event.step:>7,}  epoch {event.epoch}  loss {event.loss:.4f}"
            f"  ppl {perplexity_text(event.perplexity)}  acc {100 * event.token_accuracy:.1f}%"
            f"  lr {event.learning_rate:.3g}"
            f"  source {event.source_tokens_per_second:,.0f} tok/s"
            f"  target {event.target_tokens_per_second:,.0f} tok/s  {clock(event.seconds)}"
            + (f"  {event.skipped} skipped" if event.skipped else "")
        )

    def _warn_of_divergence(self, event: Progress) -> None:
        """Once, where the loss is larger than any guessing gives, or rises far again."""
        is_large = event.loss > WORST_GUESS or event.loss > self._lowest_loss + RISE
        self._lowest_loss = min(self._lowest_loss, event.loss)
        if is_large and not self._has_diverged:
            self._has_diverged = True
            self._warning(
                f"the training diverges: the loss is {event.loss:.4g} at step {event.step:,}; lower"
                f" training.optimizer.learning_rate ({self._training.optimizer.learning_rate:g}) or"
                " raise training.schedule.warmup_steps"
            )

    def _validated(self, event: Validated) -> None:
        metrics = event.result.metrics
        best = "  best so far" if event.is_best else ""
        kind = "validation" if event.in_sequence else "final validation"
        self._line(
            f"{kind} at step {event.step:,}: loss {metrics['loss']:.4f}"
            f"  ppl {perplexity_text(metrics['perplexity'])}  acc {100 * metrics['token_accuracy']:.1f}%"
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
        console.say(
            f"training {ended} at step {event.step:,} after {clock(event.seconds)}: {event.reason}"
        )


def perplexity_text(perplexity: float) -> str:
    """A perplexity of any size in a few characters."""
    return f"{perplexity:.2f}" if perplexity < 1e6 else f"{perplexity:.1e}"


def _counts(counts: Counts) -> str:
    left_out = describe_left_out(counts.left_out)
    return f"{counts.used:,}" + (f" (left out: {left_out})" if left_out else "")
