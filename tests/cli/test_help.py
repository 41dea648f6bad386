"""Help, groups and exit codes: what the command line says without doing any work."""

import re
import subprocess
import sys

import pytest
import typer

from s2s_cli import __version__
from s2s_cli.cli.app import GROUPS, app, main
from s2s_cli.config.schema import Decoding

COMMANDS = [command.__name__ for commands in GROUPS.values() for command in commands]


def said(capsys, *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command line."""
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.slow
def test_help_imports_neither_tensorflow_nor_keras_nor_numpy():
    program = (
        "import sys\n"
        "from s2s_cli.cli.app import main\n"
        "main(['--help'])\n"
        "print('heavy:', sorted({'tensorflow', 'keras', 'numpy'} & set(sys.modules)))\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip().endswith("heavy: []")


@pytest.mark.slow
def test_importing_the_package_changes_nothing_in_the_host_process():
    program = (
        "import gc, signal, sys, threading\n"
        "def state():\n"
        "    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]\n"
        "    return handlers, gc.isenabled(), gc.get_freeze_count(), threading.active_count(),"
        " sys.excepthook\n"
        "before = state()\n"
        "import s2s_cli, s2s_cli.cli.app, s2s_cli.config.load\n"
        "assert state() == before\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_help_lists_the_commands_in_groups(capsys):
    code, out, _ = said(capsys, "--help")
    assert code == 0
    places = [out.index(f"─ {group} ─") for group in GROUPS]
    assert places == sorted(places)
    for command in COMMANDS:
        assert re.search(rf"│ {command}\b", out)


def test_the_version_is_that_of_the_package(capsys):
    assert said(capsys, "--version") == (0, f"s2s {__version__}\n", "")


@pytest.mark.parametrize("command", ["translate", "evaluate", "compare"])
def test_options_of_decoding_are_made_from_the_schema(capsys, command):
    _, out, _ = said(capsys, command, "--help")
    panel = " ".join(out[out.index("─ Decoding") :].replace("│", " ").split())
    for name, field in Decoding.model_fields.items():
        if command != "translate" and name == "n_best":
            continue
        assert "--" + name.replace("_", "-") in panel
        assert " ".join(field.description.split()) in panel
    assert "--precision <auto|float32|bfloat16|int8>" in panel
    assert "--shortlist <int> [>=1 and <=64]" in panel
    assert "[default: (200)]" in panel and "[default: (split)]" in panel


@pytest.mark.parametrize(
    ("arguments", "code", "message", "hint"),
    [
        (["nonsense"], 2, "No such command 'nonsense'", "`s2s --help`"),
        (["train", "--nonsense"], 2, "No such option: --nonsense", "`s2s train --help`"),
        (["train"], 2, "Missing argument 'CONFIG'", "`s2s train --help`"),
        (["evaluate", "run"], 2, "Missing option '--reference'", "`s2s evaluate --help`"),
        (["score", "run"], 2, "Missing option '--source'", "`s2s score --help`"),
        (["evaluate", "f", "--reference", "r", "--comet", "m"], 2, "Missing option '--source'", "--help"),
        (["compare", "-", "--reference", "r"], 2, "Missing argument 'RUN_OR_FILE'", "`s2s compare --help`"),
        (["train", "c.yaml", "--threads", "0"], 1, "Invalid value for '--threads'", "train --help"),
        (["translate", "run", "-x foo"], 2, "No such option: -x", "`s2s translate RUN -- '-x foo'`"),
        (["translate", "run", "- foo"], 2, "No such option: - ", "`s2s translate RUN -- '- foo'`"),
        (["translate", "run", "-5"], 2, "No such option: -5", "`s2s translate RUN -- -5`"),
        (["translate", "run", "-x"], 2, "No such option: -x", "`s2s translate --help`"),
    ],
)  # fmt: skip
def test_a_mistake_in_typing_has_one_message_and_one_hint(capsys, arguments, code, message, hint):
    found, out, err = said(capsys, *arguments)
    assert (found, out) == (code, "") and "Traceback" not in err
    assert err.count("error: ") == err.count("hint: ") == 1
    assert message in err and hint in err


def test_without_arguments_the_help_is_shown(capsys):
    code, out, err = said(capsys)
    assert code == 2 and "error:" not in err and "translate" in out + err


def test_shell_completion_can_be_installed_and_completes_commands(capsys, monkeypatch):
    _, out, _ = said(capsys, "--help")
    assert "--install-completion" in out and "--show-completion" in out
    monkeypatch.setenv("_S2S_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "s2s tr")
    monkeypatch.setenv("COMP_CWORD", "1")
    with pytest.raises((SystemExit, typer.Exit)):
        app([], prog_name="s2s")
    assert capsys.readouterr().out.split() == ["train", "translate"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["translate", "run", "-i", "file", "text"], "TEXT and --input exclude each other."),
        (["translate", "run", "--errors", "ignore"], "--errors is 'ignore'; choose from replace, strict."),
        (["translate", "run", "-o", "no/such/file"], "no/such: there is no such folder, so no/such/file"),
        (["export", "run", "--format", "onxx"], "--format is 'onxx'; choose from keras, saved_model, onnx,"),
        (["evaluate", "no", "--reference", "r"], "no: there is no such run and no such file."),
        (["compare", "no", "no", "--reference", "r"], "no: there is no such run and no such file."),
        (["score", "run", "--source", "s", "--target", "t", "-o", "no/such/file"], "no/such: there is"),
        (["check", "c.yaml", "--test-source", "a"], "--test-source and --test-target belong together."),
        (["train", "no.yaml"], "no.yaml: there is no such file."),
    ],
)  # fmt: skip
def test_a_wrong_value_is_reported_before_any_work(
    capsys, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    code, out, err = said(capsys, *arguments)
    assert (code, out) == (1, "") and message in err
    assert err.count("error: ") == err.count("hint: ") == 1


def test_schema_prints_json_schema_with_every_section_documented(capsys):
    import json

    schema = json.loads(said(capsys, "schema")[1])
    assert set(schema["properties"]) == {
        "data", "cleaning", "tokenizer", "model", "training", "decoding",
    }  # fmt: skip
    assert schema["$defs"]["Training"]["properties"]["batch_tokens"]["description"]
    assert schema["$defs"]["RecurrentModel"]["properties"]["architecture"]["enum"] == [
        "lstm",
        "gru",
    ]
