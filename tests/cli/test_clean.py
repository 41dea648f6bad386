"""`s2s clean` as a person and as a program see it."""

import json
import shlex

import pytest
from conftest import tiny_settings, write_config

from s2s_cli.cli.app import main
from s2s_cli.config.load import load_config


@pytest.fixture
def config(tmp_path, corpus, monkeypatch):
    """A config of a pair of files and a TSV with weights, in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.en").write_bytes(
        b"one dog\ntwo\tdogs\nthree \xff\nfour \x07dogs\none dog\nOne dog!\nin 1984\nfive\n"
    )
    (tmp_path / "a.de").write_text(
        "ein Hund\nzwei Hunde\ndrei\nvier Hunde\nein Hund\nein Hund\n1985\n\n", encoding="utf-8"
    )
    (tmp_path / "b.tsv").write_text("six dogs\tsechs Hunde\t0.5\nno tab\n", encoding="utf-8")
    settings = tiny_settings(corpus)
    settings["data"]["train"] = [
        {"source": "a.en", "target": "a.de", "mixing_weight": 2},
        {"tsv": "b.tsv", "mixing_weight": 1},
    ]
    return write_config(tmp_path / "c.yaml", settings)


REPORT = """\
a.en, a.de           8 rows,           2 kept
b.tsv                2 rows,           1 kept

rejected  line that is not UTF-8                              1
    a.en:3  three \\xff | drei
rejected  row without its columns                             1
    b.tsv:2  no tab |
rejected  pair with an empty side                             1
    a.en:8  five |
rejected  control or invisible character                      1
    a.en:4  four \\x07dogs | vier Hunde
rejected  pair with different numbers                         1
    a.en:7  in 1984 | 1985
rejected  repeated pair                                       1
    a.en:5  one dog | ein Hund
rejected  repeated but for digits, case, punctuation          1
    a.en:6  One dog! | ein Hund
1 tab inside text, written as spaces

out/a.tsv: 2 pairs to train on
out/a.rejected.tsv: 6 rejected, each with its reason
out/b.tsv: 1 pair to train on
out/b.rejected.tsv: 1 rejected, each with its reason
"""

NEXT = """\
Only training corpora were cleaned; files of validation stay as they are. Next:
  s2s train c.yaml --set 'data.train=[{tsv: out/a.tsv, mixing_weight: 2.0}, \
{tsv: out/b.tsv, mixing_weight: 1.0}]'
"""


def test_the_report_goes_to_stdout_and_the_next_command_to_stderr(config, tmp_path, capsys):
    assert main(["clean", "c.yaml", "-o", "out"]) == 0
    shown = capsys.readouterr()
    assert shown.out == REPORT
    assert shown.err == NEXT
    assert (tmp_path / "out" / "b.tsv").read_text() == "six dogs\tsechs Hunde\t0.5\n"


def test_the_next_command_reads_the_cleaned_corpora(config, tmp_path, capsys):
    assert main(["clean", "c.yaml", "--output", "it's here, {so}"]) == 0
    command = shlex.split(capsys.readouterr().err.splitlines()[-1])
    assert command[:4] == ["s2s", "train", "c.yaml", "--set"]
    train = load_config(config, tuple(command[4:])).data.train
    folder = tmp_path / "it's here, {so}"
    assert [(corpus.tsv, corpus.mixing_weight) for corpus in train] == [
        (str(folder / "a.tsv"), 2),
        (str(folder / "b.tsv"), 1),
    ]


def test_settings_are_overridden_and_those_for_training_are_repeated(config, capsys):
    train = "data.train=[{tsv: b.tsv}, {source: a.en, target: a.de}]"
    given = ["training.seed=3", "cleaning.control=false", train]
    arguments = [part for setting in given for part in ("--set", setting)]
    arguments += ["--numbers", "false", "--duplicates", "null"]
    assert main(["clean", "c.yaml", "-o", "out", *arguments]) == 0
    shown = capsys.readouterr()
    assert "a.en, a.de           8 rows,           6 kept" in shown.out
    assert shown.err.splitlines()[-1] == (
        "  s2s train c.yaml --set training.seed=3"
        " --set 'data.train=[{tsv: out/b.tsv}, {tsv: out/a.tsv}]'"
    )


def test_a_corpus_of_which_nothing_is_kept_is_not_trained_on(config, tmp_path, capsys):
    (tmp_path / "b.tsv").write_text("\tx\n")
    assert main(["clean", "c.yaml", "-o", "out"]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == (
        "  s2s train c.yaml --set 'data.train=[{tsv: out/a.tsv, mixing_weight: 2.0}]'"
    )
    for name in ("a.en", "a.de"):
        (tmp_path / name).write_text("x\n\n" if name == "a.en" else "\ny\n")
    assert main(["clean", "c.yaml", "-o", "nothing"]) == 0
    shown = capsys.readouterr()
    assert "nothing/a.tsv: 0 pairs to train on" in shown.out
    assert shown.err == "warning: no pair was kept; see the files of rejected lines\n"


def test_json_holds_the_same_as_values(config, capsys):
    assert main(["clean", "c.yaml", "-o", "out", "--json"]) == 0
    shown = capsys.readouterr()
    report = json.loads(shown.out)
    assert shown.out.count("\n") == 1 and shown.err == ""
    first, second = report["corpora"]
    assert second == {
        "files": [second["files"][0]],
        "kept_file": "out/b.tsv",
        "rejected_file": "out/b.rejected.tsv",
        "read": 2,
        "kept": 1,
        "rejected": {"missing_column": 1},
        "tabs": 0,
        "line_ends": 0,
    }
    assert (first["read"], first["kept"], first["tabs"]) == (8, 2, 1)
    assert report["rejected"][0] == {
        "reason": "invalid_utf8",
        "what": "line that is not UTF-8",
        "count": 1,
        "examples": [{"place": f"{first['files'][0]}:3", "text": "three \\xff | drei"}],
    }


def test_files_that_exist_are_refused_with_what_to_do(config, capsys):
    assert main(["clean", "c.yaml", "-o", "out"]) == 0
    capsys.readouterr()
    assert main(["clean", "c.yaml", "-o", "out"]) == 1
    assert capsys.readouterr().err == (
        "error: out/a.tsv: this file exists, and 3 more.\n"
        "hint: Name another folder with --output, or give --force to replace the files.\n"
    )
    assert main(["clean", "c.yaml", "-o", "out", "--force"]) == 0


def test_a_corpus_that_cannot_be_read_ends_with_the_error_of_training(config, tmp_path, capsys):
    (tmp_path / "a.de").write_bytes(b"ein Hund\n")
    assert main(["clean", "c.yaml", "-o", "out"]) == 1
    source, target = tmp_path / "a.en", tmp_path / "a.de"
    assert capsys.readouterr().err == (
        f"error: {source}:2: {source} has 8 lines and {target} has 1;"
        " line i of one must be the translation of line i of the other.\n"
        "hint: Find the line that is missing; cutting the longer file would leave wrong pairs.\n"
    )
    assert not (tmp_path / "out").exists()


def test_a_folder_must_be_named_and_be_a_folder(config, tmp_path, capsys):
    assert main(["clean", "c.yaml"]) == 2
    assert "Missing option '--output' / '-o'" in capsys.readouterr().err
    assert main(["clean", "c.yaml", "-o", "b.tsv"]) == 1
    assert capsys.readouterr().err == (
        "error: b.tsv: this is not a folder.\nhint: Name another folder with --output.\n"
    )
