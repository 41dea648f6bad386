import io
import runpy
from pathlib import Path

import pytest

import s2s_cli as s2s

EXAMPLES = Path(__file__).parent.parent / "examples"


def main_of(name: str):
    return runpy.run_path(str(EXAMPLES / name))["main"]


def test_every_example_is_run_here():
    names = {path.name for path in EXAMPLES.glob("*.py")}
    assert names == {"step_by_step.py", "train_and_translate.py", "translate_lines.py"}


def test_lines_are_translated_in_order(trained, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("1 2 3\n\n4\n"))
    main_of("translate_lines.py")(str(trained))
    texts = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    translator = s2s.load(trained, beam_size=3)
    assert texts == [found.text for found in translator.translate(["1 2 3", "", "4"])]


def test_one_token_after_the_other_gives_the_translation_of_greedy_search(trained, capsys):
    main_of("step_by_step.py")(str(trained), "1 2 3")
    tokens = tuple(line.split()[0] for line in capsys.readouterr().out.splitlines())
    found = s2s.load(trained).translate(["1 2 3"])[0]
    # The search stops earlier where the translation would be too long for its source.
    assert tokens[: len(found.tokens)] == found.tokens


@pytest.mark.slow
def test_the_example_that_trains_a_model_translates_with_it(tmp_path, capsys):
    settings = ["training.max_steps=2", "training.validation_steps=2", "training.log_steps=1"]
    main_of("train_and_translate.py")(tmp_path, *settings)
    output = capsys.readouterr().out
    assert "step 2: chrF" in output and "finished: 2 steps are done" in output
    assert "81 -> " in output
