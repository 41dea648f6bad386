"""Every snippet of the guide is run, and prints what the guide says."""

import contextlib
import io
import re
from pathlib import Path

import pytest

GUIDE = (Path(__file__).parent.parent / "docs" / "guide.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", GUIDE, re.DOTALL)


def test_every_snippet_has_an_output():
    assert GUIDE.count("```python") == GUIDE.count("```text") == len(SNIPPETS) >= 10


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_a_snippet_prints_what_the_guide_says(trained, number):
    program, expected = SNIPPETS[number]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(program, {"run": trained, "__name__": "guide"})
    assert printed.getvalue() == expected
