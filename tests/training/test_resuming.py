"""A training in pieces, and one that resumes with other settings or files."""

import json
import math
import shutil
from pathlib import Path

import pytest
from conftest import MODELS
from light_training import (
    default_metrics,
    of_kind,
    outcome,
    saved_arrays,
    use_light_step,
    use_light_validation,
    validations_of,
)

from s2s_cli.errors import DataError, RunError
from s2s_cli.runs.checkpoint import read_state
from s2s_cli.runs.run import Run
from s2s_cli.training import resolve
from s2s_cli.training.events import (
    EpochRestarted,
    Finished,
    ModelReady,
    Progress,
    RolledBack,
    SelectionReset,
    StepDone,
    Validated,
    VectorsMatched,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("light")]


def latest_state(run: Path) -> dict:
    return read_state(Run(run).find_checkpoint("latest"))


def changes_of(events: list) -> tuple[str, ...]:
    (ready,) = of_kind(events, ModelReady)
    return ready.changes


# In pieces.


@pytest.mark.parametrize("stop_after", [1, 6, 7])
def test_a_training_stopped_after_any_step_ends_with_the_same_files(train, tmp_path, stop_after):
    train(name="whole")
    events = train(name="pieces", stop_after=stop_after)
    assert events[-1] == Finished(stop_after, "it was interrupted", True, events[-1].seconds)
    events = train(name="pieces")
    assert of_kind(events, ModelReady)[0].step == stop_after
    assert events[-1] == Finished(12, "12 steps are done", False, events[-1].seconds)
    assert outcome(tmp_path / "pieces") == outcome(tmp_path / "whole")


def test_a_raised_limit_is_reported_and_ends_where_a_longer_training_does(train, tmp_path):
    train("training.max_steps=15", name="longer")
    train("training.max_steps=9", name="raised")
    events = train("training.max_steps=15", name="raised")
    assert of_kind(events, ModelReady)[0].step == 9
    assert changes_of(events) == ("training.max_steps: 9 → 15",)
    assert saved_arrays(tmp_path / "longer") == saved_arrays(tmp_path / "raised")


# The best loss of a sequence is at step 90; before, no loss is as low as that of the limit, 55.
LOSSES = {10: 5.0, 20: 4.0, 30: 4.5, 40: 3.0, 50: 3.4, 55: 2.0, 60: 3.3, 70: 3.2, 80: 2.9, 90: 2.5}


def scripted_loss(step: int) -> dict[str, float]:
    return {"loss": LOSSES.get(step, 2.6), "bleu": 0.0, "chrf": 0.0, "token_accuracy": 0.5}


@pytest.fixture
def in_intervals_of_10(settings, monkeypatch):
    use_light_validation(monkeypatch, scripted_loss)
    settings["training"].update(
        max_steps=200,
        validation_steps=10,
        checkpoint_steps=20,
        early_stopping={"metric": "loss", "patience": 4},
        schedule={"name": "plateau", "patience": 2},
    )


def test_a_limit_between_two_intervals_changes_no_later_decision(
    train, tmp_path, in_intervals_of_10
):
    whole = train(name="whole")
    assert (whole[-1].step, whole[-1].reason) == (130, "4 validations brought no better loss")
    pieces = train("training.max_steps=55", name="pieces")
    assert pieces[-1].reason == "55 steps are done"
    (last,) = (event for event in of_kind(pieces, Validated) if not event.in_sequence)
    assert (last.step, last.is_best) == (55, True)
    run = Run(tmp_path / "pieces")
    # It has the lowest loss, and nothing is trained after it: `best` names it.
    assert run.best_step() == 55
    state = latest_state(run.root)
    assert (state["best"], state["best_step"]) == ([3.0, 3.0], 40)
    assert (state["selected_step"], state["validations_without_better"]) == (55, 1)
    events = train(name="pieces")
    assert (events[-1].step, events[-1].reason) == (whole[-1].step, whole[-1].reason)
    assert validations_of(tmp_path / "pieces") == validations_of(tmp_path / "whole")
    assert run.best_step() == Run(tmp_path / "whole").best_step() == 90
    assert saved_arrays(run.root) == saved_arrays(tmp_path / "whole")
    assert saved_arrays(run.root, "best") == saved_arrays(tmp_path / "whole", "best")
    assert (
        latest_state(run.root)["plateau_scale"] == latest_state(tmp_path / "whole")["plateau_scale"]
    )


def test_the_best_checkpoint_is_again_that_of_the_intervals_while_training_continues(
    train, tmp_path, in_intervals_of_10
):
    train("training.max_steps=55")
    train("training.max_steps=65")
    # At 65, the loss is 2.6, higher than at 55, but lower than in any interval.
    assert Run(tmp_path / "run").best_step() == 65
    events = train("training.max_steps=80", stop_after=10)
    assert events[-1].step == 75
    assert Run(tmp_path / "run").best_step() == 40
    assert Run(tmp_path / "run").checkpoint(40).is_dir()


def test_a_final_validation_before_the_first_interval_is_the_best_until_there_is_one(
    train, tmp_path, in_intervals_of_10
):
    train("training.max_steps=5")
    assert Run(tmp_path / "run").best_step() == 5
    events = train("training.max_steps=10")
    (validated,) = of_kind(events, Validated)
    assert validated.is_best and validated.in_sequence
    assert Run(tmp_path / "run").best_step() == 10


def test_a_run_that_has_ended_is_not_trained_scored_or_saved_again(train, tmp_path):
    train()
    before = outcome(tmp_path / "run")
    events = train()
    assert not of_kind(events, StepDone) and not of_kind(events, Validated)
    assert events[-1].reason == "12 steps are done"
    assert outcome(tmp_path / "run") == before


def test_an_interrupted_training_whose_limit_is_lowered_is_scored_and_saved(train, tmp_path):
    train(stop_after=3)
    events = train("training.max_steps=2")
    assert [type(event).__name__ for event in events[-3:]] == [
        "Validated",
        "CheckpointSaved",
        "Finished",
    ]
    assert Run(tmp_path / "run").best_step() == 3


def test_metrics_are_cut_back_to_where_training_resumes(train, tmp_path):
    train()
    run = Run(tmp_path / "run")
    before = outcome(run.root)
    with open(run.metrics_file, "a") as file:
        file.write('{"event": "progress", "step": 15}\n{"event": "prog')
    shutil.rmtree(run.checkpoint(12))
    run.point("latest", run.checkpoint(8))
    train()
    assert outcome(run.root) == before


def test_training_resumes_from_the_last_checkpoint_where_the_pointer_is_lost(train, tmp_path):
    train("training.max_steps=5")
    (tmp_path / "run" / "checkpoints" / "latest").unlink()
    assert of_kind(train(), ModelReady)[0].step == 5


# With another selection.


def test_another_metric_begins_the_selection_anew(train, tmp_path, settings, monkeypatch):
    def metrics(step: int) -> dict[str, float]:
        # chrF is highest at step 6, where its cost, -27.19, is lower than any loss will be.
        return {"loss": 5 - 0.1 * step, "chrf": 27.19 if step == 6 else 10.0, "bleu": 0.0}

    use_light_validation(monkeypatch, metrics)
    stopping = {"metric": "chrf", "patience": 3}
    settings["training"].update(validation_steps=2, max_steps=10, early_stopping=stopping)
    train()
    assert Run(tmp_path / "run").best_step() == 6
    stopping["metric"] = "loss"
    with pytest.raises(RunError, match="needs --force"):
        train("training.max_steps=30")
    events = train("training.max_steps=30", force=True)
    (reset,) = of_kind(events, SelectionReset)
    assert reset.reason == "chrf → loss"
    assert 'training.early_stopping.metric: "chrf" → "loss"' in changes_of(events)
    validated = of_kind(events, Validated)
    assert [event.step for event in validated] == list(range(12, 31, 2))
    assert all(event.is_best for event in validated)
    assert events[-1].reason == "30 steps are done"
    assert Run(tmp_path / "run").best_step() == 30
    # Reported once: the state is now of this metric.
    assert not of_kind(train("training.max_steps=31"), SelectionReset)


def test_after_a_reset_patience_counts_from_the_first_validation(
    train, tmp_path, settings, monkeypatch
):
    use_light_validation(monkeypatch, lambda step: {"loss": 1.0, "chrf": 9.0, "bleu": 0.0})
    stopping = {"metric": "chrf", "patience": 3}
    schedule = {"name": "plateau", "patience": 2}
    settings["training"].update(
        validation_steps=2, max_steps=6, early_stopping=stopping, schedule=schedule
    )
    train()
    state = latest_state(tmp_path / "run")
    assert (state["validations_without_better"], state["plateau_validations"]) == (2, 0)
    assert state["plateau_scale"] == 0.5
    stopping["metric"] = "loss"
    events = train("training.max_steps=40", force=True)
    # One validation is the best of the new kind, three are no better.
    assert (events[-1].step, events[-1].reason) == (14, "3 validations brought no better loss")
    assert latest_state(tmp_path / "run")["plateau_scale"] == 0.25
    assert Run(tmp_path / "run").best_step() == 8


def test_other_validation_files_begin_the_selection_anew_and_keep_the_epoch(
    train, tmp_path, settings, corpus
):
    settings["training"]["early_stopping"] = {"metric": "loss"}
    train(stop_after=7)
    for side, end in (("source", "digits"), ("target", "words")):
        lines = (corpus / f"validation.{end}").read_text().splitlines()[:12]
        (tmp_path / f"other.{end}").write_text("\n".join(lines) + "\n")
        settings["data"]["validation"][side] = str(tmp_path / f"other.{end}")
    with pytest.raises(RunError, match=r"other\.digits has changed since the run began"):
        train()
    events = train(force=True)
    (reset,) = of_kind(events, SelectionReset)
    assert reset.reason == "another way to measure loss"
    assert not of_kind(events, EpochRestarted)
    assert of_kind(events, StepDone)[0].index == 8
    assert of_kind(events, Validated)[0].is_best


def test_fewer_held_out_pairs_begin_the_selection_anew_and_keep_the_epoch(
    train, tmp_path, settings
):
    train(stop_after=7)
    settings["data"]["validation"]["max_pairs"] = 10
    events = train(force=True)
    assert of_kind(events, SelectionReset)
    assert not of_kind(events, EpochRestarted)
    assert of_kind(events, StepDone)[0].index == 8
    assert saved_arrays(tmp_path / "run")["model.safetensors"]


@pytest.mark.parametrize(
    ("metric", "override", "is_reset"),
    [
        ("bleu", "decoding.beam_size=2", True),
        ("bleu", "decoding.max_source_length=5", True),
        ("bleu", "decoding.batch_size=4", False),
        ("loss", "decoding.beam_size=2", False),
    ],
)
def test_settings_of_decoding_are_safe_and_begin_a_selection_anew_that_depends_on_them(
    train, settings, metric, override, is_reset
):
    settings["training"]["early_stopping"] = {"metric": metric}
    train("training.max_steps=2")
    events = train("training.max_steps=3", override)
    assert len(of_kind(events, SelectionReset)) == is_reset


def test_a_training_without_validation_from_now_on_has_its_latest_checkpoint_as_the_best(
    train, tmp_path, settings
):
    train(stop_after=7)
    settings["data"]["validation"] = None
    events = train(force=True)
    assert of_kind(events, SelectionReset) and not of_kind(events, Validated)
    assert Run(tmp_path / "run").best_step() == 12


# With other settings of training.


def test_a_longer_training_with_a_forced_setting_keeps_the_end_of_cosine(train, tmp_path, settings):
    settings["training"].update(
        schedule={"name": "cosine", "minimum": 0.1}, max_steps=10, log_steps=1
    )
    train()
    settings["model"]["dropout"] = 0.1
    events = train("training.max_steps=20", force=True)
    assert changes_of(events) == (
        "model.dropout: 0.2 → 0.1",
        "training.max_steps: 10 → 20",
    )
    rates = [event.learning_rate for event in of_kind(events, Progress)]
    assert rates == [pytest.approx(0.1 * 0.01)] * 10
    config = Run(tmp_path / "run").config()
    assert config.training.schedule.decay_steps == 10
    assert config.resolved.requested["training.schedule.decay_steps"] is None
    assert config.resolved.forced == ["step 10: model.dropout: 0.2 → 0.1"]


def test_what_depends_on_a_forced_setting_is_chosen_again_and_reported(train, tmp_path, settings):
    settings["training"]["schedule"] = {"name": "constant"}
    settings["training"]["max_steps"] = 4
    train()
    settings["training"].update(schedule={"name": "cosine"}, max_steps=8)
    settings["data"]["max_length"] = 50
    events = train(force=True)
    assert changes_of(events)[-2:] == (
        "training.schedule.decay_steps: null now chooses 8 (it was null)",
        "decoding.max_source_length: null now chooses 50 (it was 100)",
    )
    settings["training"]["schedule"] = {"name": "constant"}
    train("training.max_steps=9", force=True)
    assert Run(tmp_path / "run").config().training.schedule.decay_steps is None


def test_a_longer_training_keeps_the_warm_up_that_was_chosen_for_it(train, tmp_path, settings):
    settings["model"] = {"architecture": "transformer", **MODELS["transformer"]}
    settings["training"]["max_steps"] = 8
    train()
    assert changes_of(train("training.max_steps=80", stop_after=1)) == (
        "training.max_steps: 8 → 80",
    )
    schedule = Run(tmp_path / "run").config().training.schedule
    assert (schedule.name, schedule.warmup_steps) == ("inverse_sqrt", 1)


def test_auto_in_place_of_the_schedule_that_it_chooses_is_no_change(train, tmp_path, settings):
    """So were the defaults written out in the config of a run of version 0.2.0."""
    settings["training"]["schedule"] = {"name": "constant", "warmup_steps": 0}
    train(stop_after=5)
    del settings["training"]["schedule"]
    assert changes_of(train(stop_after=1)) == changes_of(train()) == ()
    assert Run(tmp_path / "run").config().training.schedule.name == "constant"


@pytest.fixture
def little_memory(settings, monkeypatch):
    """Memory for which `batch_tokens: auto` chooses 1024; it is 4096 once the test says so."""
    settings["training"].update(batch_size=None, batch_tokens="auto", max_steps=2)
    monkeypatch.setattr(resolve, "available_memory", lambda: 15_000_000)
    return lambda: monkeypatch.setattr(resolve, "available_memory", lambda: None)


def test_batch_tokens_are_not_chosen_again_when_another_setting_is_forced(
    train, tmp_path, settings, little_memory
):
    train()
    config = Run(tmp_path / "run").config()
    chosen = config.training.batch_tokens
    assert 256 <= chosen < 4096
    assert config.resolved.requested["training.batch_tokens"] == "auto"
    little_memory()
    assert changes_of(train("training.max_steps=3")) == ("training.max_steps: 2 → 3",)
    settings["training"]["optimizer"]["clip_norm"] = 5.0
    events = train("training.max_steps=4", force=True)
    assert changes_of(events) == (
        "training.max_steps: 3 → 4",
        "training.optimizer.clip_norm: 1.0 → 5.0",
    )
    assert not of_kind(events, EpochRestarted)
    assert of_kind(events, ModelReady)[0].batch_tokens == chosen
    # Chosen again where the setting itself is changed.
    settings["training"]["batch_tokens"] = 300
    events = train("training.max_steps=5", force=True)
    assert changes_of(events)[-1] == 'training.batch_tokens: "auto" → 300'
    settings["training"]["batch_tokens"] = "auto"
    events = train("training.max_steps=6", force=True)
    assert changes_of(events)[-1] == "training.batch_tokens: auto now chooses 4096 (it was 300)"


@pytest.mark.parametrize("override", ["training.seed=2", "tokenizer.vocab_size=50"])
def test_a_change_that_moves_trained_pairs_or_fits_no_weights_makes_a_new_run(train, override):
    train("training.max_steps=1")
    with pytest.raises(RunError, match="makes a new run") as caught:
        train("training.max_steps=2", override, force=True)
    assert "--force" not in caught.value.hint


def test_another_fraction_makes_a_new_run(train, settings):
    settings["data"]["validation"] = {"fraction": 0.1}
    train("training.max_steps=1")
    settings["data"]["validation"] = {"fraction": 0.2}
    with pytest.raises(RunError) as caught:
        train("training.max_steps=2", force=True)
    assert "data.validation.fraction: 0.1 → 0.2  (makes a new run)" in caught.value.message


def test_another_batch_size_restarts_the_epoch_and_is_recorded(train, tmp_path):
    train(stop_after=7)
    changes = ("training.batch_size=12", "training.max_steps=14")
    shutil.copytree(tmp_path / "run", tmp_path / "pieces")
    events = train(*changes, force=True)
    assert of_kind(events, EpochRestarted) == [EpochRestarted(1)]
    assert of_kind(events, StepDone)[0].index == 1
    assert Run(tmp_path / "run").config().resolved.forced == [
        "step 7: training.batch_size: 24 → 12"
    ]
    events = train(*changes, name="pieces", force=True, stop_after=1)
    assert not of_kind(train(*changes, name="pieces"), EpochRestarted)
    assert saved_arrays(tmp_path / "pieces") == saved_arrays(tmp_path / "run")


def test_validations_at_the_end_of_epochs_do_not_happen_in_the_middle_of_one(
    train, tmp_path, settings
):
    settings["training"].update(validation_steps=None, max_steps=40, batch_size=24)
    train(stop_after=14)  # 10 batches an epoch: in the second
    settings["training"]["batch_size"] = 12
    events = train(force=True)
    assert of_kind(events, EpochRestarted) == [EpochRestarted(2)]
    validated = [(event.step, event.epoch) for event in of_kind(events, Validated)]
    assert validated == [(34, 2), (40, 3)]
    assert [event.in_sequence for event in of_kind(events, Validated)] == [True, False]


def test_a_rollback_after_a_forced_change_restarts_the_epoch_too(
    train, tmp_path, settings, monkeypatch
):
    settings["training"].update(max_skipped_steps=1, early_stopping={"metric": "loss"})
    train(stop_after=7)
    settings["training"].update(batch_size=12, early_stopping={"metric": "token_accuracy"})
    use_light_step(monkeypatch, lambda step, rate: rate < 0.01)
    events = train(force=True)
    assert of_kind(events, RolledBack) == [RolledBack(9, 7, 0.5)]
    # What is restored was saved by the earlier config: its position and its best are not used.
    after = events[events.index(RolledBack(9, 7, 0.5)) :]
    assert of_kind(after, StepDone)[0].index == 1
    assert of_kind(after, Validated)[0].is_best
    state = latest_state(tmp_path / "run")
    assert state["selection_key"].startswith("token_accuracy ")
    assert state["best"][0] == pytest.approx(-default_metrics(12)["token_accuracy"])


# With other files.


def copy_of(corpus: Path, folder: Path, settings: dict) -> None:
    """Copies the training files, and names the copies in `settings`."""
    folder.mkdir()
    for side, end in (("source", "digits"), ("target", "words")):
        shutil.copy(corpus / f"train.{end}", folder)
        settings["data"]["train"][side] = str(folder / f"train.{end}")


def test_files_that_moved_are_no_change_and_another_content_is(train, corpus, tmp_path, settings):
    train("training.max_steps=2")
    copy_of(corpus, tmp_path / "moved", settings)
    events = train("training.max_steps=3")
    assert changes_of(events) == ("training.max_steps: 2 → 3",)
    with open(tmp_path / "moved" / "train.words", "a") as file:
        file.write("one\n")
    with pytest.raises(RunError, match=r"train\.words has changed since the run began"):
        train("training.max_steps=4")


def test_another_corpus_restarts_the_epoch_and_its_lexicon_is_learned(
    train, corpus, tmp_path, settings
):
    train(stop_after=7)
    run = Run(tmp_path / "run")
    key_of = lambda: json.loads((run.store("train") / "store.json").read_text())["key"]  # noqa: E731
    from safetensors import safe_open

    def lexicon_key() -> str:
        with safe_open(run.lexicon_file, framework="np") as file:
            return file.metadata()["store_key"]

    before = key_of()
    assert lexicon_key() == before
    copy_of(corpus, tmp_path / "other", settings)
    for end in ("digits", "words"):
        lines = (corpus / f"train.{end}").read_text().splitlines()
        (tmp_path / "other" / f"train.{end}").write_text("\n".join(lines[:120]) + "\n")
    events = train(force=True)
    assert of_kind(events, EpochRestarted) == [EpochRestarted(1)]
    assert not of_kind(events, SelectionReset)
    assert key_of() != before and lexicon_key() == key_of()
    assert of_kind(events, StepDone)[0].batches == 5


def test_a_corrected_corpus_is_trained_on_in_the_same_run_directory(
    train, corpus, tmp_path, settings
):
    copy_of(corpus, tmp_path / "bad", settings)
    source = tmp_path / "bad" / "train.digits"
    good = source.read_bytes()
    source.write_bytes(b"\xff" + good)
    with pytest.raises(DataError, match="not UTF-8"):
        train()
    source.write_bytes(good)
    assert of_kind(train(), Finished)[0].step == 12


def test_word_vectors_are_read_once_and_may_change_or_vanish_afterwards(train, tmp_path, settings):
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("1 " + " ".join(["0.5"] * 8) + "\n")
    settings["model"]["embedding"]["vectors"] = {"source": str(vectors)}
    (matched,) = of_kind(train("training.max_steps=2", name="whole"), VectorsMatched)
    assert matched.matched == 1
    train("training.max_steps=4", name="whole")
    train("training.max_steps=2")
    vectors.write_text("1 " + " ".join(["9.5"] * 8) + "\n")
    events = train("training.max_steps=3")
    assert changes_of(events) == ("training.max_steps: 2 → 3",)
    assert not of_kind(events, VectorsMatched)
    vectors.unlink()
    settings["training"]["label_smoothing"] = 0.0  # the light step has no loss to smooth
    train("training.max_steps=4", force=True)
    assert saved_arrays(tmp_path / "run") == saved_arrays(tmp_path / "whole")
    files = {file.key: file for file in Run(tmp_path / "run").config().resolved.files}
    first = {file.key: file for file in Run(tmp_path / "whole").config().resolved.files}
    key = "model.embedding.vectors.source"
    assert files[key].sha256 == first[key].sha256


def test_a_run_of_an_earlier_format_is_refused_with_one_sentence(train, tmp_path):
    train("training.max_steps=1")
    run = Run(tmp_path / "run")
    text = run.config_file.read_text().replace("format: 3\n", "")
    run.config_file.write_text(text)
    checkpoint = run.find_checkpoint("latest")
    (checkpoint / "model.safetensors").rename(checkpoint / "model.weights.h5")
    expected = (
        f"{run.config_file}: this run has format 1 of an earlier version of s2s; this version"
        " reads format 3."
    )
    for use in (train, run.config):
        with pytest.raises(RunError) as caught:
            use()
        assert caught.value.message == expected
        assert (
            caught.value.hint
            == "Train it again in another directory with --run, or use the version that made it."
        )


def test_a_loss_that_is_not_finite_at_first_freezes_neither_plateau_nor_selection(
    train, tmp_path, settings, monkeypatch
):
    losses = {2: math.nan, 4: math.inf}

    def metrics(step: int) -> dict[str, float]:
        return {"loss": losses.get(step, 5 - 0.1 * step), "bleu": 0.0}

    use_light_validation(monkeypatch, metrics)
    settings["training"].update(
        validation_steps=2, max_steps=14, schedule={"name": "plateau", "patience": 3}
    )
    events = train()
    best = {event.step: event.is_best for event in of_kind(events, Validated)}
    assert best == {2: False, 4: False, 6: True, 8: True, 10: True, 12: True, 14: True}
    state = latest_state(tmp_path / "run")
    assert (state["plateau_loss"], state["plateau_scale"]) == (pytest.approx(3.6), 1.0)
    first = json.loads(
        next(line for line in Run(tmp_path / "run").metrics_file.read_text().splitlines()
             if '"validation"' in line)
    )  # fmt: skip
    assert first["loss"] is None
