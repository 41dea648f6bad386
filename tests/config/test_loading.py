"""What a valid config becomes: overrides, paths, defaults, and the config of a run."""

import pytest
from conftest import write_config

from s2s_cli.config.annotations import is_file_setting
from s2s_cli.config.load import dump_config, load_config, load_resolved
from s2s_cli.config.schema import (
    RUN_FORMAT,
    Config,
    Resolved,
    config_type,
    resolved_config_type,
)
from s2s_cli.errors import ConfigError, RunError


def test_overrides_are_yaml_and_may_write_numbers_as_people_do(tmp_path, settings):
    path = write_config(tmp_path / "c.yaml", settings)
    config = load_config(
        path,
        ("training.optimizer.learning_rate=1e-3", "decoding={max_length: 7}", "data.max_length=9"),
    )
    assert config.training.optimizer.learning_rate == 1e-3
    assert (config.decoding.max_length, config.data.max_length) == (7, 9)


def test_paths_are_relative_to_the_config_and_in_overrides_to_the_working_directory(
    tmp_path, monkeypatch
):
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "c.yaml"
    path.write_text(
        "data: {train: [{source: a.en, target: ../b.de}, {tsv: c.tsv}]}\n"
        "model: {embedding: {vectors: {source: v.vec}}}\n"
    )
    monkeypatch.chdir(tmp_path / "elsewhere")
    here = tmp_path / "elsewhere"
    config = load_config(path, ("data.train.0.source=x.en", "model.embedding.vectors.target=w.vec"))
    first, second = config.data.train
    assert (first.source, first.target) == (str(here / "x.en"), str(tmp_path.parent / "b.de"))
    assert second.tsv == str(tmp_path / "c.tsv")
    vectors = config.model.embedding.files
    assert (vectors.source, vectors.target) == (str(tmp_path / "v.vec"), str(here / "w.vec"))
    replaced = load_config(path, ("data.train=[{tsv: y.tsv}]", "model.embedding.vectors=z.npy"))
    assert replaced.data.train[0].tsv == str(here / "y.tsv")
    assert replaced.model.embedding.vectors == str(here / "z.npy")


def test_the_settings_that_name_files_are_known_by_their_type():
    config = config_type()
    for key in ("data.train.source", "data.train.3.tsv", "data.validation.target",
                "model.embedding.vectors", "model.embedding.vectors.source"):  # fmt: skip
        assert is_file_setting(config, key), key
    for key in ("data.train", "data.max_length", "model.embedding", "no.such.setting"):
        assert not is_file_setting(config, key), key


def test_a_dumped_config_is_read_back_as_the_same_config(tmp_path, settings):
    config = load_config(write_config(tmp_path / "c.yaml", settings))
    (tmp_path / "again.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "again.yaml") == config and isinstance(config, Config)


def test_ten_epochs_are_trained_where_no_limit_is_set(tmp_path, settings):
    del settings["training"]["max_steps"]
    path = write_config(tmp_path / "c.yaml", settings)
    assert load_config(path).training.epochs == 10
    assert load_config(path, ("training.max_minutes=3",)).training.epochs is None


@pytest.fixture
def resolved(tmp_path, settings):
    settings["training"]["schedule"] = {"name": "constant", "warmup_steps": 0}
    config = load_config(write_config(tmp_path / "c.yaml", settings))
    return resolved_config_type().model_validate(
        {
            **config.model_dump(),
            "format": RUN_FORMAT,
            "resolved": Resolved(
                requested={"training.precision": "auto", "decoding.max_source_length": None},
                files=[],
                versions={"keras": "3"},
                plan_version=2,
            ),
        }
    )


def test_the_config_of_a_run_is_read_back_and_begins_with_its_format(tmp_path, resolved):
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(resolved))
    assert path.read_text().startswith("format: 3\n")
    assert load_resolved(path) == resolved
    with pytest.raises(ConfigError, match="unknown key `format`"):
        load_config(path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("format: 3\n", "", "format 1 of an earlier version of s2s; this version reads format 3."),
        ("format: 3\n", "format: 4\n", "format 4 of a later version of s2s; this version reads"),
    ],
)
def test_a_run_of_another_format_is_refused_with_one_sentence(tmp_path, resolved, old, new, words):
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(resolved).replace(old, new))
    with pytest.raises(RunError) as caught:
        load_resolved(path)
    assert f"{path}: this run has {words}" in caught.value.message
    assert caught.value.message.count("\n") == 0 and "Train it again" in caught.value.hint


def test_no_value_in_the_config_of_a_run_is_auto(tmp_path, resolved):
    path = tmp_path / "config.yaml"
    text = dump_config(resolved).replace(" precision: float32", " precision: auto")
    path.write_text(text.replace("name: constant", "name: auto"))
    with pytest.raises(ConfigError) as caught:
        load_resolved(path)
    assert "training.precision is auto in a run." in caught.value.message
    assert "decoding.precision is auto in a run." in caught.value.message
    assert "training.schedule.name is auto in a run." in caught.value.message
