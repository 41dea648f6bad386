"""What is shown of the events of a training."""

import math
from pathlib import Path

import pytest

from s2s_cli.cli.training_view import TrainingView
from s2s_cli.config.schema import Training
from s2s_cli.runs.repair import Repaired
from s2s_cli.text.filters import Counts
from s2s_cli.training import events
from s2s_cli.training.events import (
    CheckpointSaved,
    CorporaRead,
    DataReady,
    EpochRestarted,
    Finished,
    ModelReady,
    PreparationProgress,
    Progress,
    RolledBack,
    Sample,
    SelectionReset,
    StepDone,
    StepSkipped,
    SubwordsSampled,
    TokenizerLearned,
    Validated,
    ValidationResult,
    VectorsMatched,
    WaitingForChief,
    WeightsInitialized,
    WorkersConnected,
)

METRICS = {"loss": 2.5, "perplexity": 12.18, "token_accuracy": 0.5, "bleu": 20.0, "chrf": 45.0}
RESULT = ValidationResult(
    METRICS, {"bleu": "nrefs:1"}, (Sample("a house", "ein Haus", "ein Maus"),)
)
SHOWN = {
    Repaired("x: damaged", "restored from step 4"): "warning: x: damaged; restored from step 4",
    WorkersConnected(2): "workers           2 are connected",
    WaitingForChief(): "waiting for the chief, which prepares the data",
    PreparationProgress("training pairs", 1, 2, "B"): None,
    TokenizerLearned("shared", 8000): "learned a vocabulary of 8,000 tokens",
    TokenizerLearned("source", 60): "learned a source vocabulary of 60 tokens",
    CorporaRead((("data/a.tmx", "TMX: from en to fr"),), 1200): (
        "corpus            a.tmx is read as TMX: from en to fr\n"
        "warning: 1,200 line ends inside text replaced by spaces"
    ),
    VectorsMatched("v.vec", 9, 60, "1 line of another length"): (
        "word vectors      9 of 60 tokens from v.vec (skipped: 1 line of another length)"
    ),
    WeightsInitialized("runs/a", 2000, 9, 10, ("x has shape (1), there (2)",), (("source", 7, 8),)): (
        "initial weights   9 of 10 from runs/a, step 2,000\n"
        "    7 of 8 source tokens are in its vocabulary\n"
        "warning: not taken: x has shape (1), there (2)"
    ),
    SubwordsSampled(2500, 2000, 3): (
        "subword sampling  2,500 tokens, 2,000 without it (too long for it: 3 pairs)"
    ),
    ModelReady(Path("runs/x"), 1234567, "lstm", "float32", 4096, 0, ("a: 1 → 2",)): (
        "model             lstm, 1,234,567 parameters, float32, batches of 4,096 tokens\n"
        "changed           a: 1 → 2\n"
        "training begins in runs/x; Ctrl-C saves and stops"
    ),
    ModelReady(Path("runs/x"), 12, "gru", "bfloat16", None, 1500, ()): (
        "model             gru, 12 parameters, bfloat16\n"
        "training resumes at step 1,500 in runs/x; Ctrl-C saves and stops"
    ),
    SelectionReset("early_stopping.metric: bleu → loss"): (
        "warning: best checkpoint, patience and plateau begin anew, as"
        " early_stopping.metric: bleu → loss"
    ),
    EpochRestarted(3): "warning: epoch 3 begins again, as its batches are planned anew",
    StepDone(1, 1, 1, 10, 0.5): None,
    StepSkipped(1001, 2, 7, 1): (
        "warning: at step 1,001 (batch 7 of epoch 2) the loss or its gradient is not finite;"
        " the step is skipped"
    ),
    StepSkipped(1002, 2, 8, 2): None,
    RolledBack(1010, 1000, 0.5): (
        "warning: the loss stays not finite; rolled back from step 1,010 to 1,000,"
        " with 0.5 of the learning rate"
    ),
    Progress(50, 1, 3.25, 25.79, 0.4, 5e-4, 1000.0, 1200.0, 2, 61.0): (
        "step      50  epoch 1  loss 3.2500  ppl 25.79  acc 40.0%  lr 0.0005"
        "  source 1,000 tok/s  target 1,200 tok/s  1:01  2 skipped"
    ),
    CheckpointSaved(50, is_best=True): None,
    Finished(100, "10 epochs are done", interrupted=False, seconds=3700.0): (
        "training finished at step 100 after 1:01:40: 10 epochs are done"
    ),
    Finished(7, "it was interrupted", interrupted=True, seconds=1.0): (
        "training stopped at step 7 after 0:01: it was interrupted"
    ),
}  # fmt: skip


@pytest.fixture
def view():
    return TrainingView(Training(max_steps=100), Path("runs/x"), is_new=False)


@pytest.mark.parametrize("event", SHOWN, ids=lambda event: type(event).__name__)
def test_an_event_is_shown_as_a_line_where_there_is_no_terminal(view, event, capsys):
    view.show(event)
    expected = SHOWN[event]
    assert capsys.readouterr().err == (f"{expected}\n" if expected else "")


def test_the_data_are_counted_with_what_was_left_out(view, capsys):
    view.show(DataReady(Counts(11, 9, {"too_long": 2}), Counts(3, 3)))
    view.show(DataReady(Counts(9, 9), None))
    view.show(DataReady(Counts(18, 18), Counts(3, 3), is_bidirectional=True))
    shown = capsys.readouterr().err.splitlines()
    assert shown[0].startswith("training pairs    9 (left out: 2 ")
    assert shown[1:] == [
        "validation pairs  3",
        "training pairs    9",
        "validation pairs  none: the last checkpoint counts as the best",
        "training pairs    18, both directions counted",
        "validation pairs  3",
    ]


def test_many_unknown_tokens_are_warned_of(view, capsys):
    view.show(DataReady(Counts(9, 9), Counts(3, 3), (0.02, 0.333)))
    assert capsys.readouterr().err.splitlines()[2:] == [
        "warning: 33.3% of the target tokens are <unk>, which the model cannot tell apart; a larger"
        " tokenizer.vocab_size or subwords (bpe, unigram) have fewer"
    ]


def test_a_training_that_diverges_is_warned_of_once_and_its_perplexity_is_short(view, capsys):
    for step, loss in ((3, 5.0), (6, 4.0), (9, 7.5), (12, 700.0)):
        view.show(Progress(step, 1, loss, math.exp(loss), 0.0, 0.1, 1.0, 1.0, 0, 1.0))
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("warning")] == [
        "warning: the training diverges: the loss is 7.5 at step 9; lower"
        " training.optimizer.learning_rate (0.0005) or raise training.schedule.warmup_steps"
    ]
    assert "ppl 148.41 " in lines[0] and "ppl 1.0e+304 " in lines[-1]


def test_a_warning_about_settings_is_shown_before_training_begins(view, capsys):
    ready = ModelReady(Path("runs/x"), 12, "gru", "float32", None, 0, (), ("the warm-up is long",))
    view.show(ready)
    assert capsys.readouterr().err.splitlines()[1] == "warning: the warm-up is long"


def test_a_validation_shows_metrics_samples_and_signatures_once(view, capsys):
    for is_best, in_sequence in ((True, True), (False, False)):
        view.show(Validated(20, 1, RESULT, is_best, in_sequence, 9.0))
    line = "at step 20: loss 2.5000  ppl 12.18  acc 50.0%  BLEU 20.00  chrF 45.00"
    sample = ["    source     a house", "    reference  ein Haus", "    model      ein Maus"]
    assert capsys.readouterr().err.splitlines() == [
        f"validation {line}  best so far",
        "    bleu       nrefs:1",
        *sample,
        f"final validation {line}",
        *sample,
    ]


def test_every_kind_of_event_is_tested_here():
    kinds = {*events.PreparationEvent.__args__, *events.TrainingEvent.__args__}
    assert {type(event) for event in SHOWN} | {DataReady, Validated} == kinds


def test_a_new_run_is_named_with_its_full_path_first(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    view = TrainingView(Training(), Path("runs/x"), is_new=True)
    for side in ("source", "target"):
        view.show(TokenizerLearned(side, 60))
    assert capsys.readouterr().err.splitlines() == [
        f"new run           {tmp_path}/runs/x",
        "learned a source vocabulary of 60 tokens",
        "learned a target vocabulary of 60 tokens",
    ]
