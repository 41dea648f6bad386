"""Every mistake in a config is a sentence with its place."""

from pathlib import Path

import pytest
from conftest import write_config

from s2s_cli.config.load import load_config, override_decoding
from s2s_cli.errors import ConfigError


def mistakes(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    """The lines of the message about a config, which is called bad.yaml."""
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return caught.value.message.replace(str(path), "bad.yaml").splitlines()


def test_every_mistake_is_reported_at_once_with_its_line_and_what_is_allowed(tmp_path):
    text = (
        "data:\n"
        "  train: {source: a.en, targt: b.de}\n"
        "tokenizer: {type: bppe, vocab_size: big}\n"
        "training:\n"
        "  batch_tokns: 2\n"
        "  optimizer: {learning_rate: -1e-3, arguments: {use_ema: true}}\n"
        "  early_stopping: 3\n"
        "decoding: {batch_size: 0}\n"
        "model: {architecture: lstmm}\n"
    )
    assert mistakes(tmp_path, text) == [
        "bad.yaml:2: unknown key `targt` in `data.train`; did you mean `target`?",
        "bad.yaml:3: tokenizer.type is 'bppe';"
        " choose from unigram, bpe, word, char; did you mean `bpe`?",
        "bad.yaml:3: tokenizer.vocab_size is 'big'; it must be a whole number.",
        "bad.yaml:5: unknown key `batch_tokns` in `training`; did you mean `batch_tokens`?",
        "bad.yaml:6: training.optimizer.learning_rate is -0.001; it must be greater than 0.0.",
        "bad.yaml:6: training.optimizer.arguments.use_ema is a setting of its own; set"
        " training.averaging; allowed for adam: beta_1, beta_2, epsilon, amsgrad, weight_decay.",
        "bad.yaml:7: training.early_stopping is 3; it must be a section with keys of its own.",
        "bad.yaml:8: decoding.batch_size is 0; it must be at least 1.",
        "bad.yaml:9: model.architecture is 'lstmm'; choose from lstm, gru, transformer; did you mean `lstm`?",
    ]


PAIRS = "data: {train: {tsv: a}}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: {train: {path: a, columns: [2]}}",
         "1: data.train.columns is [2]; it must be a list of 2."),
        ("data: {train: {path: a, delimiter: ab}}",
         "1: data.train.delimiter is 'ab'; it must be one character."),
        ("data: {train: {tsv: a, columns: [1, 2]}}", "1: data.train.columns needs `path: FILE`."),
        ("data: {train: {source: a}}", "1: data.train needs `path: FILE` or `tsv: FILE`, or both"),
        ("data: {train: [{tsv: a}, {source: a}]}", "1: data.train.1 needs `path: FILE` or `tsv: FILE`"),
        (PAIRS + "model: {embedding: {shared: true}}\ntokenizer: {shared: false}",
         "2: model.embedding.shared needs tokenizer.shared: true"),
        ("data: {train: {tsv: a, source_tag: a b}}",
         "1: data.train.source_tag is 'a b'; it must be one word, such as <BT>"),
        ("data: {train: {tsv: a}, bidirectional: true}\ntokenizer: {shared: false}",
         "1: data.bidirectional needs tokenizer.shared: true"),
        (PAIRS + "training: {subword_sampling: {source: 0.1}}\ntokenizer: {type: word}",
         "2: training.subword_sampling needs tokenizer.type unigram or bpe; word has one way to cut"),
        (PAIRS + "model: {decoder: {attention: dot, units: 3}}",
         "2: model.decoder.attention dot compares vectors of one size"),
        (PAIRS + "model: {decoder: {attention: none, coverage: true}}",
         "2: model.decoder.coverage needs attention, and decoder.attention is none."),
        (PAIRS + "training: {batch_size: 2, batch_tokens: 3}",
         "2: training.batch_size and training.batch_tokens exclude each other"),
        (PAIRS + "training: {schedule: {name: cosine}}",
         "2: training.schedule.decay_steps must be set"),
        (PAIRS + "training: {schedule: {name: plateau}}\ntokenizer: {shared: true}\n"
         "data: {train: {tsv: a}, validation: null}", "stands here a second time"),
        ("data: {train: {tsv: a}, validation: null}\ntraining: {schedule: {name: plateau}}",
         "2: training.schedule.name is plateau, which needs a validation loss; set data.validation."),
        (PAIRS + "training: {schedule: {warmup_steps: 0}}\nmodel: {architecture: transformer}",
         "2: training.schedule.warmup_steps must be at least 1 for inverse_sqrt, which"
         " training.schedule.name: auto chooses for transformer"),
        ("data: {train: [{tsv: a, mixing_weight: 1}, {tsv: b}]}", "1: data.train needs `mixing_weight`"),
        ("data: {train: []}", "1: data.train is an empty list"),
        (PAIRS + "tokenizer: {lowercase: true, normalization: identity}",
         "2: tokenizer.lowercase needs normalization"),
        ("model: {dropout: 0.1}", "data is missing; it has no default."),
        (PAIRS + "data: {}", "2: `data` stands here a second time; the first is in line 1."),
        ("data: [", "this is not valid YAML"),
        ("- 1", "the file must hold sections"),
        (PAIRS + "model: 3", "2: model is 3; it must be a section with keys of its own."),
        (PAIRS + "model: {dropout: null}", "2: model.dropout is null; it must be a number."),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_together_name_the_setting_to_change(tmp_path, text, message):
    (line,) = mistakes(tmp_path, text + "\n")
    assert message in line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training: {batch_tokens: atuo}",
         "training.batch_tokens is 'atuo'; it must be a whole number, or one of auto;"
         " did you mean `auto`?"),
        ("training: {batch_tokens: 0}", "training.batch_tokens is 0; it must be at least 1, or one of auto."),
        ("model: {embedding: {vectors: {sourc: a}}}",
         "unknown key `sourc` in `model.embedding.vectors`; did you mean `source`?"),
        ("model: {embedding: {vectors: 3}}",
         "model.embedding.vectors is 3; it must be text or a section with keys of its own."),
        ("model: {embedding: {initializer: {name: orthogonl}}}",
         "model.embedding.initializer.name is 'orthogonl'; choose from "),
        ("model: {embedding: {initializer: {gain: 2}}}",
         "model.embedding.initializer.name is missing; it has no default."),
        ("cleaning: {languages: [en]}",
         "cleaning.languages must be the codes of two languages, such as [en, de]."),
        ("cleaning: {languages: [en, German]}",
         "cleaning.languages must be the codes of two languages, such as [en, de]."),
        ("cleaning: {languages: en}", "cleaning.languages is 'en'; it must be a list."),
        ("cleaning: {duplicates: nearly}",
         "cleaning.duplicates is 'nearly'; choose from near, exact; did you mean `near`?"),
        ("cleaning: {max_length_ratio: 1}", "cleaning.max_length_ratio is 1; it must be greater than 1.0."),
        ("decoding: {shortlist: 65}", "decoding.shortlist is 65; it must be at most 64."),
    ],
)  # fmt: skip
def test_a_setting_of_several_types_lists_all_that_it_accepts(tmp_path, text, message):
    (line,) = mistakes(tmp_path, PAIRS + text + "\n")
    assert line.startswith(f"bad.yaml:2: {message}")


def test_a_mistake_in_an_override_names_the_override(tmp_path):
    assert mistakes(tmp_path, PAIRS, "training.seed=-1") == [
        "--set training.seed: training.seed is -1; it must be at least 0."
    ]
    assert "not of the form key=value" in mistakes(tmp_path, PAIRS, "training.seed")[0]
    assert (
        "`tsv` is inside something that is not a section"
        in (mistakes(tmp_path, "data: {train: [3]}", "data.train.0.tsv=a")[0])
    )


def test_a_mistake_in_a_decoding_option_names_the_option(tmp_path, settings):
    config = load_config(write_config(tmp_path / "c.yaml", settings))
    assert override_decoding(config, beam_size=3, n_best=None).beam_size == 3
    with pytest.raises(ConfigError) as caught:
        override_decoding(config, beam_size=0, precision="int9", max_length_ratio=float("nan"))
    assert caught.value.message.splitlines() == [
        "--beam-size: decoding.beam_size is 0; it must be at least 1.",
        "--precision: decoding.precision is 'int9';"
        " choose from auto, float32, bfloat16, int8; did you mean `int8`?",
        "--max-length-ratio: decoding.max_length_ratio is nan; it must be a finite number.",
    ]
    with pytest.raises(ConfigError, match=r"--n-best: decoding\.n_best is 2, but the beam holds 1"):
        override_decoding(config, n_best=2)


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
        (b"data: {train: {tsv: \"a\\0b\"}}\n", r":1: 'a\x00b' holds a character that is not text."),
        (b"name: \"\\ud800\"\n", r":1: '\ud800' holds a character that is not text."),
        (b"data:\0\n", "this is not valid YAML: unacceptable character #x0000"),
        (b"#" * (1 << 20) + b"\n", "a config has 1,048,576 bytes at most."),
        (b"training: {seed: " + b"9" * 4000 + b"}\n", "training.seed is 999"),
    ],
)  # fmt: skip
def test_a_file_made_to_break_the_reader_is_refused_with_a_message(tmp_path, text, complaint):
    path = tmp_path / "config.yaml"
    path.write_bytes(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(path) in caught.value.message and complaint in caught.value.message
