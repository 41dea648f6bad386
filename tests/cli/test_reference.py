"""The pages of docs/ that are generated from the program."""

from pathlib import Path

import pytest

from s2s_cli.cli import reference

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.mark.parametrize("name", ["settings", "commands"])
def test_the_generated_pages_are_those_of_make_docs(name):
    page = getattr(reference, f"{name}_page")()
    found = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    assert found == page, f"docs/{name}.md is out of date; run `make docs`"
