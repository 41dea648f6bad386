"""`s2s evaluate` and `s2s compare` of files: what they print, and what they refuse."""

import json

import pytest

from s2s_cli.cli.app import main
from s2s_cli.evaluation.records import read_record


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A test set of two sentences, two references, and three files of translations."""
    for name, lines in {
        "source": ["a red house", "a dog"],
        "reference": ["ein rotes Haus .", "ein Hund ."],
        "reference2": ["das rote Haus .", "der Hund ."],
        "good": ["ein rotes Haus .", "ein Hund ."],
        "lower": ["ein rotes haus .", "ein hund ."],
        "bad": ["ein Haus .", "eine Katze ."],
        "short": ["ein Haus ."],
    }.items():
        (tmp_path / name).write_text("".join(line + "\n" for line in lines))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def said(capsys, *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def bleu_of(capsys, *arguments: str) -> dict:
    code, out, err = said(capsys, "evaluate", *arguments, "--resamples", "0", "--json")
    assert (code, err) == (0, "")
    return json.loads(out)["scores"][0]


def test_a_file_is_scored_without_a_run(folder, capsys):
    code, out, err = said(capsys, "evaluate", "bad", "--reference", "reference", "--resamples", "0")
    assert (code, err) == (0, "")
    version = out.splitlines()[1].rpartition("|")[2]
    assert (
        out
        == f"""\
      score  95% interval  signature
BLEU   0.00                nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|{version}
chrF  25.79                nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|{version}
TER   42.86                nrefs:1|case:lc|tok:tercom|norm:no|punct:yes|asian:no|{version}

by the length of the reference, in words
words   sentences  BLEU   chrF    TER
0 to 5          2  0.00  25.79  42.86

by how often a word occurs in the references (2 sentences)
times   words  precision  recall    F1
0           0        0.0       -   0.0
1           3      100.0    33.3  50.0
2 to 9      4      100.0    75.0  85.7
"""
    )


def test_tokenised_lowercased_and_raw_text_are_scored_apart(folder, capsys):
    files = ("lower", "--reference", "reference")
    raw = bleu_of(capsys, *files)
    lower = bleu_of(capsys, *files, "--lowercase")
    assert "|case:mixed|eff:no|tok:13a|" in raw["signature"] and raw["value"] < 50
    assert "|case:lc|eff:no|tok:13a|" in lower["signature"] and lower["value"] == pytest.approx(100)
    (folder / "joined").write_text("ein rotes Haus.\nein Hund.\n")
    files = ("joined", "--reference", "reference")
    assert bleu_of(capsys, *files)["value"] == pytest.approx(100)
    tokenised = bleu_of(capsys, *files, "--bleu-tokenizer", "none")
    assert "|tok:none|" in tokenised["signature"] and tokenised["value"] < 50


def test_several_references_are_used_together(folder, capsys):
    (folder / "mixed").write_text("ein rotes Haus .\nder Hund .\n")
    references = ("--reference", "reference", "--reference", "reference2")
    found = bleu_of(capsys, "mixed", *references)
    assert found["signature"].startswith("nrefs:2|") and found["value"] == pytest.approx(100)
    assert bleu_of(capsys, "mixed", *references[:2])["value"] < 100


@pytest.mark.slow
def test_systems_are_compared_in_tables_and_side_by_side(folder, capsys):
    code, out, err = said(
        capsys, "compare", "bad", "good", "--source", "source", "--reference", "reference",
        "--reference", "reference2", "--show", "1",
    )  # fmt: skip
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "2 sentences; p is for the difference from bad; a lower TER is better"
    assert lines[2].split() == [
        "BLEU", "95%", "interval", "difference", "p,", "bootstrap", "p,", "randomisation",
    ]  # fmt: skip
    assert lines[3].split() == ["bad", "0.00", "0.00", "to", "0.00"]
    assert lines[4].startswith("good  100.00  ") and " +100.00 " in lines[4]
    assert (
        out[out.index("good differs") :]
        == """\
good differs from bad in 2 of 2 sentences; by chrF, 2 are better and 0 worse

line 2: chrF 15.0 and 100.0 (+85.0)
  source     a dog
  reference  ein Hund .
  reference  der Hund .
  bad        eine Katze .
  good       ein Hund .
"""
    )


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (
            ["evaluate", "short", "--reference", "reference"],
            "reference:2: short has 1 lines and reference has 2; line i of one must be the"
            " translation of line i of the other.",
            "Find the line that is missing; cutting the longer file would leave wrong pairs.",
        ),
        (
            ["evaluate", "good", "--reference", "reference", "--bleu-tokenizer", "14a"],
            "--bleu-tokenizer is '14a'; choose from auto, 13a, intl, zh, char, none.",
            "zh is for Chinese, char for other scripts without spaces, 13a for all others; none is"
            " for files that are tokenised already.",
        ),
        (
            ["evaluate", "good", "--reference", "reference", "--beam-size", "4"],
            "--beam-size is for runs, and good holds translations already.",
            "Leave the option out, or name the directory of a run.",
        ),
        (
            ["compare", "good", "bad", "--reference", "reference", "--checkpoint", "latest"],
            "--checkpoint is for runs, and good and bad hold translations already.",
            "Leave the option out, or name the directory of a run.",
        ),
        (
            ["compare", "good", "fair", "--reference", "reference"],
            "fair: there is no such run and no such file.",
            "Name the directory of a run, a file with a translation a line, or - for stdin.",
        ),
        (
            ["evaluate", ".", "--reference", "reference"],
            ".: this is not a run directory; it has no config.yaml.",
            "Train one with `s2s train CONFIG`, or give the directory that holds config.yaml.",
        ),
    ],
)
def test_what_cannot_be_scored_is_one_message_and_one_hint(
    folder, capsys, arguments, message, hint
):
    code, out, err = said(capsys, *arguments)
    assert (code, out) == (1, "") and err == f"error: {message}\nhint: {hint}\n"


def test_text_without_spaces_that_is_scored_by_words_is_warned_of(folder, capsys):
    (folder / "zh").write_text("猫坐在垫子上\n")
    arguments = ("evaluate", "zh", "--reference", "zh", "--resamples", "0")
    assert said(capsys, *arguments)[2] == ""
    assert said(capsys, *arguments, "--bleu-tokenizer", "13a")[2] == (
        "warning: the references are written without spaces between words, so BLEU with 13a takes"
        " whole lines for words; score with --bleu-tokenizer zh\n"
    )


def test_a_run_a_record_and_a_file_of_the_same_translations_are_equal(
    trained, corpus, tmp_path, capsys
):
    source, reference = corpus / "validation.digits", corpus / "validation.words"
    files = ("--source", str(source), "--reference", str(reference), "--json")
    as_run = json.loads(said(capsys, "evaluate", str(trained), *files)[1])
    record = trained / "translations" / "evaluation-validation.digits.jsonl"
    assert as_run["record"] == str(record)
    texts = [sentence["translation"] for sentence in read_record(record)[1]]
    (tmp_path / "out").write_text("".join(text + "\n" for text in texts))
    as_file = json.loads(said(capsys, "evaluate", str(tmp_path / "out"), *files)[1])
    assert as_file["record"] is None
    assert as_run["scores"] == as_file["scores"] and as_run["by_length"] == as_file["by_length"]
    counted = [found["by_frequency"]["counted_in"] for found in (as_run, as_file)]
    assert counted == ["training", "references"]
    systems = (str(record), str(tmp_path / "out"), str(trained))
    code, out, err = said(capsys, "compare", *systems, *files)
    found = json.loads(out)
    assert (code, err) == (0, "")
    for metric, score in zip(found["metrics"], as_run["scores"], strict=True):
        assert [system["value"] for system in metric["systems"]] == [score["value"]] * 3
        assert [system["p_bootstrap"] for system in metric["systems"]] == [None, 1.0, 1.0]
    assert [system["different"] for system in found["differences"]] == [0, 0]


def test_a_run_needs_its_sources(trained, capsys):
    code, out, err = said(capsys, "evaluate", str(trained), "--reference", "r")
    assert (code, out) == (2, "")
    assert err == "error: Missing option '--source'.\nhint: See `s2s evaluate --help`.\n"
