"""Which changes of a config a run can resume with, and how they are reported."""

import pytest
from conftest import CONSTANT, write_config

from s2s_cli.config.load import load_config
from s2s_cli.config.resolved import resolve_config
from s2s_cli.config.schema import FileFingerprint, OnResume, Resolved
from s2s_cli.errors import RunError
from s2s_cli.runs.resume import find_changes, require_resumable

CONTENT = {"data.train.0.source": "1", "data.train.0.target": "2"}


@pytest.fixture
def changes(settings, tmp_path):
    """Changes to a run of `settings` by overrides, and by files with other content."""
    path = write_config(tmp_path / "c.yaml", settings)

    def find(*overrides: str, **content: str) -> list:
        files = [FileFingerprint(key=key, path="/x", sha256=sha) for key, sha in CONTENT.items()]
        resolved = Resolved(files=files, versions={}, plan_version=2)
        chosen = {**CONSTANT, "decoding.max_source_length": 100}
        old = resolve_config(load_config(path), chosen, resolved)
        new = {**CONTENT, **{key.replace("__", "."): sha for key, sha in content.items()}}
        now = [FileFingerprint(key=key, path="/y", sha256=sha) for key, sha in new.items()]
        return find_changes(old, load_config(path, overrides), now)

    return find


def test_nothing_has_changed_where_the_files_have_moved(changes, tmp_path):
    assert changes() == []
    assert changes(f"data.train.source={tmp_path / 'moved'}") == []


@pytest.mark.parametrize(
    ("override", "text", "needs"),
    [
        ("training.max_steps=14", "training.max_steps: 12 → 14", "safe"),
        ("training.epochs=3", "training.epochs: null → 3", "safe"),
        ("decoding.beam_size=4", "decoding.beam_size: 1 → 4", "safe"),
        ("cleaning.numbers=false", "cleaning.numbers: true → false", "safe"),
        ("training.keep_checkpoints=1", "training.keep_checkpoints: 3 → 1", "safe"),
        ("training.label_smoothing=0.2", "training.label_smoothing: 0.1 → 0.2", "needs --force"),
        ("training.precision=bfloat16", 'training.precision: "float32" → "bfloat16"', "needs --force"),
        ("data.max_length=50", "data.max_length: 100 → 50", "needs --force"),
        ("data.validation.max_pairs=5", "data.validation.max_pairs: 2000 → 5", "needs --force"),
        ("model.dropout=0.5", "model.dropout: 0.2 → 0.5", "needs --force"),
        ("training.seed=2", "training.seed: 1 → 2", "makes a new run"),
        ("model.decoder.units=16", "model.decoder.units: 24 → 16", "makes a new run"),
        ("model.architecture=gru", 'model.architecture: "lstm" → "gru"', "makes a new run"),
        ("tokenizer.lowercase=true", "tokenizer.lowercase: false → true", "makes a new run"),
        ("training.optimizer.name=sgd", 'training.optimizer.name: "adam" → "sgd"', "makes a new run"),
        (
            "training.optimizer.arguments={amsgrad: true}",
            "training.optimizer.arguments.amsgrad: null → true",
            "makes a new run",
        ),
        (
            "training.optimizer.arguments={beta_2: 0.9}",
            "training.optimizer.arguments.beta_2: null → 0.9",
            "needs --force",
        ),
    ],
)  # fmt: skip
def test_a_changed_setting_says_what_it_needs(changes, override, text, needs):
    found = {change.text: change.needs.value for change in changes(override)}
    assert found[text] == needs


def test_a_held_out_fraction_in_place_of_files_makes_a_new_run(changes):
    found = {
        change.key: change.needs.value for change in changes("data.validation={fraction: 0.1}")
    }
    assert found["data.validation.fraction"] == "makes a new run"


def test_other_content_of_a_file_needs_force(changes):
    (change,) = changes(data__train__0__target="3")
    assert change.text == "data.train.0.target: the content of /y has changed since the run began"
    assert change.needs is OnResume.FORCE


def test_all_changes_are_listed_with_what_they_need(changes, tmp_path):
    found = changes(
        "model.decoder.units=16", "training.label_smoothing=0.2", "training.max_steps=14"
    )
    with pytest.raises(RunError) as caught:
        require_resumable(tmp_path, found, force=True)
    assert caught.value.message.splitlines() == [
        f"{tmp_path}: this run was made with another config:",
        "  model.decoder.units: 24 → 16  (makes a new run)",
        "  training.max_steps: 12 → 14  (safe)",
        "  training.label_smoothing: 0.1 → 0.2  (needs --force)",
    ]
    assert "--force" not in caught.value.hint
    found = [change for change in found if change.needs is not OnResume.NEW_RUN]
    with pytest.raises(RunError) as caught:
        require_resumable(tmp_path, found, force=False)
    assert caught.value.hint.startswith("Give --force to resume with them.")
    require_resumable(tmp_path, found, force=True)
