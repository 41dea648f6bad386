"""Preparing data: what is made, what is made again after a change, and what is reported."""

from pathlib import Path

import pytest
from conftest import tiny_settings

from s2s_cli.config.schema import ResolvedConfig, resolved_config_type
from s2s_cli.errors import DataError
from s2s_cli.files import sha256
from s2s_cli.runs.run import Run
from s2s_cli.training import preparation
from s2s_cli.training.events import CorporaRead, DataReady, PreparationProgress, TokenizerLearned
from s2s_cli.training.preparation import prepare


@pytest.fixture
def settings(corpus) -> dict:
    return tiny_settings(corpus)


def resolved(settings: dict) -> ResolvedConfig:
    """A resolved config, with fingerprints of its files as they are."""
    train, validation = settings["data"]["train"], settings["data"].get("validation") or {}
    sections = (("data.train.0", train), ("data.validation", validation))
    files = [
        (f"{name}.{kind}", section[kind])
        for name, section in sections
        for kind in ("source", "target", "tsv", "path")
        if kind in section
    ]
    fingerprints = [{"key": key, "path": path, "sha256": sha256(Path(path))} for key, path in files]
    found = {
        "requested": {},
        "files": fingerprints,
        "versions": {},
        "plan_version": 2,
        "forced": [],
    }
    decoding = {**settings["decoding"], "precision": "float32", "max_source_length": 100}
    schedule = {"name": "constant", "warmup_steps": 0}
    training = {**settings["training"], "bleu_tokenizer": "13a", "schedule": schedule}
    chosen = {"decoding": decoding, "training": training, "format": 2, "resolved": found}
    return resolved_config_type().model_validate({**settings, **chosen})


def prepared(run: Run, settings: dict):
    """The events, and what was prepared."""
    events = []
    preparing = prepare(run, resolved(settings), 1)
    while True:
        try:
            events.append(next(preparing))
        except StopIteration as end:
            return events, end.value


def stages(events) -> list[str]:
    return list(dict.fromkeys(e.stage for e in events if isinstance(e, PreparationProgress)))


def test_everything_is_made_once_with_progress_by_bytes(tmp_path, settings):
    events, made = prepared(Run(tmp_path), settings)
    assert stages(events) == [
        "source vocabulary",
        "target vocabulary",
        "training pairs",
        "validation pairs",
    ]
    assert [e.side for e in events if isinstance(e, TokenizerLearned)] == ["source", "target"]
    last = {e.stage: e for e in events if isinstance(e, PreparationProgress)}
    assert all(e.done == e.total > 0 and e.unit == "B" for e in last.values())
    assert events[-1] == DataReady(made.train.counts, made.validation.counts)
    assert made.lexicon.store_key == made.train.key

    events, again = prepared(Run(tmp_path), settings)
    assert events == [DataReady(made.train.counts, made.validation.counts)]
    assert again.train.key == made.train.key and again.tokenizers.vocab_sizes == (
        made.tokenizers.vocab_sizes
    )


@pytest.mark.parametrize("split", ["train", "validation"])
def test_weights_that_are_all_0_are_refused(tmp_path, settings, split):
    (tmp_path / "w.tsv").write_text("1 2\tone two\t0\n3\tthree\t0.0\n")
    settings["data"][split] = {"tsv": str(tmp_path / "w.tsv")}
    with pytest.raises(DataError) as caught:
        prepared(Run(tmp_path / "run"), settings)
    name = {"train": "training"}.get(split, split)
    assert caught.value.message == (
        f"The weights of all 2 {name} pairs are 0, so none of them counts."
    )


def test_settings_of_validation_leave_the_training_store_alone(tmp_path, settings):
    _, made = prepared(Run(tmp_path), settings)
    settings["data"]["validation"]["max_pairs"] = 5
    events, changed = prepared(Run(tmp_path), settings)
    assert stages(events) == ["validation pairs"]
    assert changed.train.key == made.train.key and changed.validation.key != made.validation.key
    assert len(changed.validation) == 5


def test_other_validation_files_leave_the_training_store_alone(tmp_path, settings):
    _, made = prepared(Run(tmp_path), settings)
    for side in ("source", "target"):
        settings["data"]["validation"][side] = settings["data"]["train"][side]
    events, changed = prepared(Run(tmp_path), settings)
    assert stages(events) == ["validation pairs"] and changed.train.key == made.train.key
    settings["data"]["validation"] = None
    events, changed = prepared(Run(tmp_path), settings)
    assert events == [DataReady(made.train.counts, None)] and changed.validation is None


def test_a_held_out_fraction_is_of_the_training_files_and_depends_on_the_seed(tmp_path, settings):
    settings["data"]["validation"] = {"fraction": 0.2}
    _, made = prepared(Run(tmp_path), settings)
    assert made.train.counts.read + made.validation.counts.read == 240
    settings["training"]["seed"] = 2
    events, changed = prepared(Run(tmp_path), settings)
    assert stages(events) == ["training pairs", "validation pairs"]
    assert changed.train.key != made.train.key


def test_the_seed_does_not_matter_to_a_training_store_of_all_pairs(tmp_path, settings):
    _, made = prepared(Run(tmp_path), settings)
    settings["training"]["seed"] = 2
    assert prepared(Run(tmp_path), settings)[1].train.key == made.train.key


def test_every_pair_is_trained_on_in_both_directions_and_no_held_out_one_in_any(tmp_path, settings):
    settings["tokenizer"]["shared"] = True
    settings["data"]["validation"] = {"fraction": 0.2}
    _, one_way = prepared(Run(tmp_path / "one"), settings)
    settings["data"]["bidirectional"] = True
    events, both = prepared(Run(tmp_path / "both"), settings)
    pairs = list(one_way.train.texts())
    assert list(both.train.texts()) == [
        text for source, target in pairs for text in ((source, target), (target, source))
    ]
    assert list(both.validation.texts()) == list(one_way.validation.texts())
    held_out = {frozenset(pair) for pair in both.validation.texts()}
    assert held_out and not held_out & {frozenset(pair) for pair in both.train.texts()}
    assert events[-1].is_bidirectional and events[-1].train.used == 2 * len(pairs)
    assert both.train.key != one_way.train.key


def test_a_corpus_with_a_tag_has_it_before_each_source(tmp_path, settings):
    files = settings["data"]["train"]
    settings["data"]["train"] = [files, {**files, "source_tag": "<BT>"}]
    found = resolved({**settings, "data": {**settings["data"], "train": files}})
    both = found.data.model_copy(
        update={
            "train": [
                *found.data.train,
                found.data.train[0].model_copy(update={"source_tag": "<BT>"}),
            ]
        }
    )
    preparing = prepare(Run(tmp_path), found.model_copy(update={"data": both}), 1)
    with pytest.raises(StopIteration) as end:
        while True:
            next(preparing)
    made = end.value.value
    tag = made.tokenizers.source.tag_id("<BT>")
    for row in range(240):
        assert made.train.source[240 + row].tolist() == [tag, *made.train.source[row].tolist()]
    assert not (made.validation.source.values == tag).any()


def test_files_that_moved_make_no_difference_and_mixing_weights_neither(tmp_path, settings):
    _, made = prepared(Run(tmp_path / "run"), settings)
    for side, path in settings["data"]["train"].items():
        (tmp_path / side).write_bytes(Path(path).read_bytes())
        settings["data"]["train"] = {**settings["data"]["train"], side: str(tmp_path / side)}
    settings["data"]["train"]["mixing_weight"] = 2.0
    assert prepared(Run(tmp_path / "run"), settings)[1].train.key == made.train.key


def test_another_corpus_gives_another_store_and_another_lexicon(tmp_path, settings):
    _, made = prepared(Run(tmp_path / "run"), settings)
    pairs = [f"{i} {i + 1}" for i in range(8)]
    (tmp_path / "a").write_text("\n".join(pairs))
    (tmp_path / "b").write_text("\n".join(pairs[::-1]))
    settings["data"]["train"] = {"source": str(tmp_path / "a"), "target": str(tmp_path / "b")}
    events, changed = prepared(Run(tmp_path / "run"), settings)
    assert stages(events) == ["training pairs"]
    assert changed.train.key != made.train.key
    assert changed.lexicon.store_key == changed.train.key
    assert (changed.lexicon.likeliest != made.lexicon.likeliest).any()


def test_a_damaged_lexicon_is_learned_again(tmp_path, settings):
    run = Run(tmp_path)
    _, made = prepared(run, settings)
    run.lexicon_file.write_bytes(b"damaged")
    _, again = prepared(run, settings)
    assert (again.lexicon.likeliest == made.lexicon.likeliest).all()


def test_no_pair_left_is_an_error_with_the_reasons_and_their_settings(tmp_path, settings):
    settings["data"]["max_length_ratio"] = 0.1
    with pytest.raises(DataError) as caught:
        prepared(Run(tmp_path), settings)
    assert caught.value.message == (
        "No sentence pair is left to use for training: 240 with sides of very unequal length"
        " (data.max_length_ratio: 0.1)."
    )


def test_a_fraction_that_leaves_nothing_is_an_error(tmp_path, settings):
    settings["data"]["validation"] = {"fraction": 1e-9}
    with pytest.raises(DataError, match="leaves no sentence pair for validation"):
        prepared(Run(tmp_path), settings)


def test_an_error_of_a_corpus_ends_the_preparation(tmp_path, settings):
    (tmp_path / "a").write_text("1 2\n")
    settings["data"]["train"]["source"] = str(tmp_path / "a")
    with pytest.raises(DataError, match="has 1 lines and"):
        prepared(Run(tmp_path / "run"), settings)


def test_closing_the_generator_ends_the_work(tmp_path, settings, monkeypatch):
    monkeypatch.setattr(preparation, "REPORT_INTERVAL", 0.001)
    ended = []

    def endless(read, check):
        try:
            while True:
                check(0)
        finally:
            ended.append(True)

    working = preparation._with_progress("stage", [], endless)
    assert next(working) == PreparationProgress("stage", 0, 0, "B")
    working.close()
    assert ended == [True]


def test_how_a_file_was_read_and_its_line_ends_are_reported_once(tmp_path, settings):
    sides = [Path(settings["data"]["train"][side]).read_text() for side in ("source", "target")]
    rows = [f'{a},"{b}"' for a, b in zip(*map(str.splitlines, sides), strict=True)]
    table = tmp_path / "pairs.csv"
    table.write_text("\n".join([*rows, '1 2,"one\ntwo"', ""]))
    settings["data"]["train"] = {"path": str(table)}
    run = Run(tmp_path / "run")
    events, found = prepared(run, settings)
    how = "CSV: columns 1 and 2, no header, comma between columns, quotes around cells"
    reported = [event for event in events if isinstance(event, CorporaRead)]
    assert reported == [CorporaRead(((str(table), how),), 1)]
    assert list(found.train.texts())[-1] == ("1 2", "one two")
    assert not any(isinstance(event, CorporaRead) for event in prepared(run, settings)[0])
