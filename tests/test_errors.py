"""Hints at what to install name this project's distribution and extras that exist."""

import re
import tomllib
from pathlib import Path

from s2s_cli.errors import pip_install_hint

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_hint_names_this_distribution():
    assert pip_install_hint("demo") == f'pip install "{PROJECT["name"]}[demo]"'


def test_every_hint_in_the_sources_names_an_extra_that_exists():
    extras = set(PROJECT["optional-dependencies"])
    named = set()
    for folder in ("s2s_cli", "configs", "examples"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            named |= set(re.findall(r"pip_install_hint\([\"'](\w+)[\"']\)", text))
            if path.name != "errors.py":
                assert not re.search(r"pip install ['\"]?s2s", text), path
    assert named and named <= extras


def test_the_pages_for_people_install_this_distribution_only():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    for path in pages:
        for name in re.findall(r"pip install ['\"]?(s2s[\w-]*)", path.read_text(encoding="utf-8")):
            assert name == PROJECT["name"], path
