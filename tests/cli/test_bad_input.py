"""Bad input: exit code 1, one message, one hint, and no exception that reaches the process."""

import shutil

import pytest
from conftest import tiny_settings, write_config

from s2s_cli.cli.app import main

pytestmark = pytest.mark.slow


def _change(settings: dict, key: str, value: object) -> dict:
    section, names = settings, key.split(".")
    for name in names[:-1]:
        section = section[name]
    section[names[-1]] = value
    return settings


def _bad_config(key, value):
    def arguments(folder, corpus, trained):
        settings = _change(tiny_settings(corpus), key, value)
        return "train", write_config(folder / "bad.yaml", settings), "--run", folder / "run"

    return arguments


def _bad_corpus(source: bytes, target: bytes):
    def arguments(folder, corpus, trained):
        (folder / "bad.en").write_bytes(source)
        (folder / "bad.de").write_bytes(target)
        settings = tiny_settings(corpus)
        settings["data"]["train"] = {"source": "bad.en", "target": "bad.de"}
        return "train", write_config(folder / "bad.yaml", settings), "--run", folder / "run"

    return arguments


def _another_config(folder, corpus, trained):
    settings = _change(tiny_settings(corpus), "model.dropout", 0.4)
    return "train", write_config(folder / "bad.yaml", settings), "--run", trained


def _unreadable_checkpoint(folder, corpus, trained):
    shutil.copytree(trained, folder / "run")
    for weights in (folder / "run" / "checkpoints").glob("*/model.safetensors"):
        weights.write_bytes(weights.read_bytes()[:100])
    return "translate", folder / "run", "1 2"


def _no_lexicon(folder, corpus, trained):
    shutil.copytree(trained, folder / "run")
    (folder / "run" / "tokenizer" / "lexicon.safetensors").unlink()
    return "translate", folder / "run", "--shortlist", 20, "1 2"


def _older_format(folder, corpus, trained):
    shutil.copytree(trained, folder / "run")
    config = folder / "run" / "config.yaml"
    config.write_text(config.read_text().replace("format: 3\n", ""))
    return "translate", folder / "run", "1 2"


BAD_INPUT = {
    "unknown key": (
        _bad_config("training.batch_tokns", 3),
        "unknown key `batch_tokns` in `training`; did you mean `batch_tokens`?",
    ),
    "wrong type": (_bad_config("model.dropout", "much"), "model.dropout is 'much'; it must be a number."),
    "useless argument": (
        _bad_config("training.optimizer.arguments", {"use_ema": True}),
        "training.optimizer.arguments.use_ema is a setting of its own; set training.averaging",
    ),
    "missing file": (
        _bad_config("data.train.source", "no.en"), "no.en: there is no such file."
    ),
    "unequal length": (_bad_corpus(b"a\nb\n", b"c\n"), "bad.de has 1; line i of one must be"),
    "invalid UTF-8": (_bad_corpus(b"a\nb\n", b"c\n\xff\n"), "bad.de:2: this line is not UTF-8"),
    "empty corpus": (_bad_corpus(b"", b""), "there is not one sentence pair in it"),
    "too large a vocabulary": (
        _bad_config("tokenizer", {"type": "bpe", "vocab_size": 9000, "shared": False}),
        "tokenizer.vocab_size is 9000, but the training sentences support no more than",
    ),
    "run of another config": (_another_config, "model.dropout: 0.2 → 0.4"),
    "run of an older format": (_older_format, "this run has format 1 of an earlier version of s2s"),
    "unreadable checkpoint": (_unreadable_checkpoint, "model.safetensors: the checkpoint cannot be read"),
    "no run": (lambda folder, *_: ("translate", folder, "x"), "this is not a run directory"),
    "no such checkpoint": (
        lambda folder, corpus, trained: ("translate", trained, "--checkpoint", "77", "x"),
        "there is no checkpoint `77`",
    ),
    "no lexicon": (_no_lexicon, "lexicon.safetensors: "),
    "unreadable input": (
        lambda folder, corpus, trained: ("translate", trained, "-i", folder / "no"), "no such file"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_gets_one_message_and_one_hint(
    case, tmp_path, corpus, trained, monkeypatch, capsys
):
    make_arguments, message = BAD_INPUT[case]
    monkeypatch.chdir(tmp_path)
    assert main([*map(str, make_arguments(tmp_path, corpus, trained))]) == 1
    shown = capsys.readouterr()
    assert shown.out == "" and message in shown.err
    assert shown.err.count("error: ") == 1 and shown.err.count("hint: ") == 1
