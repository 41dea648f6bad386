from pathlib import Path

import keras
import pytest
from conftest import write_config

from s2s_cli.config import dump_config, load_config
from s2s_cli.errors import ConfigError
from s2s_cli.schema import Config, InitializerName, OptimizerName, Section

CONFIGS = Path(__file__).parent.parent / "configs"


def test_every_mistake_is_reported_at_once_with_its_line_and_what_is_allowed(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(
        "data:\n"
        "  train: {source: a.en, targt: b.de}\n"
        "tokenizer: {type: bppe, vocab_size: big}\n"
        "training:\n"
        "  batch_tokns: 2\n"
        "  optimizer: {learning_rate: -1e-3}\n"
        "  early_stopping: 3\n"
        "decoding: {batch_size: 0}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert caught.value.message.replace(str(path), "bad.yaml").splitlines() == [
        "bad.yaml:2: unknown key `targt` in `data.train`; did you mean `target`?",
        "bad.yaml:3: tokenizer.type is 'bppe';"
        " choose from unigram, bpe, word, char; did you mean `bpe`?",
        "bad.yaml:3: tokenizer.vocab_size is 'big'; it must be a whole number.",
        "bad.yaml:5: unknown key `batch_tokns` in `training`; did you mean `batch_tokens`?",
        "bad.yaml:6: training.optimizer.learning_rate is -0.001; it must be greater than 0.0.",
        "bad.yaml:7: training.early_stopping is 3; it must be a section with keys of its own.",
        "bad.yaml:8: decoding.batch_size is 0; it must be at least 1.",
    ]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("data: {train: {source: a}}", "1: data.train needs `tsv: FILE`, or both"),
        ("data: {train: {tsv: a}}\nmodel: {embedding: {shared: true}}\ntokenizer: {shared: false}",
         "2: model.embedding.shared needs tokenizer.shared: true"),
        ("data: {train: {tsv: a}}\nmodel: {decoder: {attention: dot, units: 3}}",
         "2: model.decoder.attention dot compares vectors of one size"),
        ("data: {train: {tsv: a}}\ntraining: {batch_size: 2, batch_tokens: 3}",
         "2: training.batch_size and training.batch_tokens exclude each other"),
        ("data: {train: {tsv: a}}\ntraining: {schedule: {name: cosine}}",
         "2: training.schedule.decay_steps must be set"),
        ("data: {train: [{tsv: a, mixing_weight: 1}, {tsv: b}]}", "1: data.train needs `mixing_weight`"),
        ("data: {train: {tsv: a}}\ntokenizer: {lowercase: true, normalization: identity}",
         "2: tokenizer.lowercase needs normalization"),
        ("model: {dropout: 0.1}", "data is missing; it has no default."),
        ("data: {train: {tsv: a}}\ndata: {}", "2: `data` stands here a second time; the first is in line 1."),
        ("data: [", "this is not valid YAML"),
        ("- 1", "the file must hold sections"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_together_name_the_setting_to_change(tmp_path, section, message):
    path = tmp_path / "bad.yaml"
    path.write_text(section + "\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert message in caught.value.message


def test_overrides_are_yaml_and_may_write_numbers_as_people_do(tmp_path, settings):
    path = write_config(tmp_path / "c.yaml", settings)
    config = load_config(
        path,
        ("training.optimizer.learning_rate=1e-3", "decoding={max_length: 7}", "data.max_length=9"),
    )
    assert config.training.optimizer.learning_rate == 1e-3
    assert (config.decoding.max_length, config.data.max_length) == (7, 9)


def test_a_mistake_in_an_override_names_the_override(tmp_path, settings):
    path = write_config(tmp_path / "c.yaml", settings)
    with pytest.raises(
        ConfigError, match=r"--set training\.seed: training\.seed is -1; it must be at least 0"
    ):
        load_config(path, ("training.seed=-1",))
    with pytest.raises(ConfigError, match="not of the form key=value"):
        load_config(path, ("training.seed",))


def test_paths_are_relative_to_the_config_and_in_overrides_to_the_working_directory(
    tmp_path, monkeypatch
):
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "c.yaml"
    path.write_text("data: {train: {source: a.en, target: ../b.de}}\n")
    monkeypatch.chdir(tmp_path / "elsewhere")
    corpus = load_config(path, ("data.train.source=x.en",)).data.train[0]
    assert corpus.source == str(tmp_path / "elsewhere" / "x.en")
    assert corpus.target == str(tmp_path.parent / "b.de")


def test_a_dumped_config_is_read_back_as_the_same_config(tmp_path, settings):
    config = load_config(write_config(tmp_path / "c.yaml", settings))
    (tmp_path / "again.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "again.yaml") == config


def test_ten_epochs_are_trained_where_no_limit_is_set(tmp_path, settings):
    del settings["training"]["max_steps"]
    path = write_config(tmp_path / "c.yaml", settings)
    assert load_config(path).training.epochs == 10
    assert load_config(path, ("training.max_minutes=3",)).training.epochs is None


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_configs_are_valid(path):
    load_config(path)


def _sections(model=Config):
    yield model
    yield from Section.__subclasses__()


def test_every_setting_is_documented_and_has_a_default_unless_it_must_be_given():
    required = []
    for section in _sections():
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name}"
            if field.is_required():
                required.append(f"{section.__name__}.{name}")
    assert set(required) == {
        "Config.data",
        "Data.train",
        "Initializer.name",
        "FileFingerprint.key",
        "FileFingerprint.path",
        "FileFingerprint.sha256",
        "Resolved.precision",
        "Resolved.files",
        "Resolved.versions",
    }


def test_the_names_of_optimizers_and_initializers_are_those_of_keras():
    for name in OptimizerName.__args__:
        assert keras.optimizers.get(name)
    for name in InitializerName.__args__:
        config = {"value": 1.0} if name == "constant" else {}
        assert keras.initializers.get({"class_name": name, "config": config})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"a: &a [*a, *a]\n", "it is nested too deeply."),
        (b"a: &a [1,1,1,1,1,1,1,1,1,1]\n" + b"".join(
            b"%c: &%c [%s]\n" % (new, new, b",".join([b"*%c" % old] * 10))
            for old, new in zip(b"abcdefg", b"bcdefgh", strict=True)
        ), "a config has 10,000 values at most."),
        (b"[" * 5000, "it is nested too deeply."),
        (b"? [x, y]\n: 1\n", ":1: the name of a setting must be a word."),
        (b"data: {train: {tsv: \"a\\0b\"}}\n", r":1: 'a\x00b' holds something that is no text."),
        (b"name: \"\\ud800\"\n", r":1: '\ud800' holds something that is no text."),
        (b"data:\0\n", "this is not valid YAML: unacceptable character #x0000"),
        (b"#" * (1 << 20) + b"\n", "a config has 1,048,576 bytes at most."),
    ],
)  # fmt: skip
def test_a_config_from_anywhere_is_refused_with_a_message(tmp_path, text, complaint):
    path = tmp_path / "config.yaml"
    path.write_bytes(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(path) in caught.value.message and complaint in caught.value.message
