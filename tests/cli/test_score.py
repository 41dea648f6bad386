"""`s2s score`: what is written for each pair, and what is counted."""

import json

import pytest
from conftest import s2s_here

from s2s_cli.cli.app import main
from s2s_cli.cli.score import Layout, Tally, _differences_of
from s2s_cli.decoding.scoring import Unscored
from s2s_cli.decoding.translation import Translation
from s2s_cli.runs.run import Run

SCORED = Translation("a|||", -0.5, -1.0, 2, ("▁x",), ("▁a|||",), (-0.75, -0.25))


@pytest.mark.parametrize(
    ("layout", "line"),
    [
        (Layout(), "-0.500000"),
        (
            Layout(token_scores=True),
            "-0.500000 ||| ▁a&#124;&#124;&#124; ||| -0.750000 -0.250000",
        ),
    ],
)
def test_a_pair_is_a_line(layout, line):
    assert layout.line(7, SCORED) == line
    assert layout.line(7, Unscored.TOO_LONG) == "nan"


def test_json_holds_the_tokens_and_the_score_of_each():
    assert json.loads(Layout(as_json=True).line(7, SCORED)) == {
        "id": 7,
        "score": -0.5,
        "log_probability": -1.0,
        "tokens": ["▁a|||"],
        "token_scores": [-0.75, -0.25],
    }
    nothing = json.loads(Layout(as_json=True).line(8, Unscored.NO_SOURCE))
    assert nothing == {"id": 8, "score": None}


def test_what_was_not_scored_as_it_is_is_counted():
    tally = Tally()
    tally.add(" a|||  ", SCORED)
    tally.add("b", SCORED)
    tally.add("c", Unscored.NO_SOURCE)
    tally.add("a|||", Translation("a|||", -0.5, -1.0, 2, is_long=True))
    tally.add("d", Unscored.NO_SOURCE)
    assert list(tally.warnings(100)) == [
        "2 lines (the first is line 3) have no score, for an empty source, whose translation is the"
        " empty one",
        "1 line (the first is line 4) has a source of more than 100 tokens, which was scored as a"
        " whole; `s2s translate` splits or truncates it",
        "1 line (the first is line 2) has a translation that the tokens of the run do not give back"
        " as it is; line 2 was scored as 'a|||'",
    ]
    assert tally.summary() == (
        "3 pairs, 6 tokens: log probability -0.5000 a token, perplexity 1.65"
    )


@pytest.mark.slow
def test_there_is_a_score_for_each_line_and_all_else_is_on_stderr(trained, tmp_path):
    (tmp_path / "s").write_text("1 2 3\n\n4\n\n5\n")
    arguments = ("score", trained, "--source", tmp_path / "s", "--target", "-")
    target = "one two three\n\n漢\none\n\n"
    plain = s2s_here(*arguments, stdin=target)
    assert plain.returncode == 0
    first, second, third, fourth, fifth = plain.out.splitlines()
    assert float(first) < 0 and float(third) < 0 and float(fifth) < 0
    assert (second, fourth) == ("0.000000", "nan")
    shown = plain.err.splitlines()
    assert shown[0] == (
        "warning: 1 line (the first is line 4) has no score, for an empty source, whose translation"
        " is the empty one"
    )
    assert shown[1].startswith("warning: 1 line (the first is line 3) has a translation that the")
    assert shown[2].startswith("4 pairs, 19 tokens: log probability -") and len(shown) == 3
    as_json = s2s_here(*arguments, "--json", "--length-penalty", 0, stdin=target)
    objects = [json.loads(line) for line in as_json.out.splitlines()]
    assert [found["id"] for found in objects] == [0, 1, 2, 3, 4]
    assert sum(objects[0]["token_scores"]) == pytest.approx(objects[0]["score"], abs=1e-4)
    assert objects[0]["score"] / 15 == pytest.approx(float(first), abs=1e-5)


@pytest.mark.slow
def test_settings_with_which_translate_gives_other_scores_are_named(trained):
    config = Run(trained).config()
    assert list(_differences_of(config)) == []
    decoding = config.decoding.model_copy(update={"precision": "int8", "shortlist": 16})
    assert list(_differences_of(config.model_copy(update={"decoding": decoding}))) == [
        "scores are computed in float32 and over the whole vocabulary; this run translates with"
        " decoding.precision int8 and decoding.shortlist 16, so the scores of `s2s translate` differ"
    ]


@pytest.mark.slow
def test_files_that_are_not_parallel_are_refused_before_any_work(trained, tmp_path, capsys):
    (tmp_path / "s").write_text("1\n2\n")
    (tmp_path / "t").write_text("one\n")
    arguments = ["score", trained, "--source", tmp_path / "s", "--target", tmp_path / "t"]
    assert main([*map(str, arguments), "-o", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == (
        f"error: {tmp_path}/s:2: {tmp_path}/s has 2 lines and {tmp_path}/t has 1; line i of one must"
        " be the translation of line i of the other.\n"
        "hint: Find the line that is missing; cutting the longer file would leave wrong pairs.\n"
    )
    assert not (tmp_path / "out").exists()
