"""`s2s backtranslate` and `s2s distill`, and what reads the corpora that they make."""

import json

import pytest
from conftest import s2s_here

from s2s_cli.config.schema import Corpus
from s2s_cli.text.corpus import read_pairs

pytestmark = pytest.mark.slow

# The tiny run has hardly learned when a sentence ends; with this it may be after each length.
SEARCH = ["--beam-size", 4, "--length-penalty", 0, "--max-length", 40]


def test_both_commands_make_corpora_that_training_reads(trained, corpus, tmp_path):
    lines = (corpus / "train.digits").read_text().splitlines()
    made = {}
    for command, source in (("backtranslate", ["-i", corpus / "train.digits"]), ("distill", [])):
        path = tmp_path / f"{command}.jsonl"
        done = s2s_here(command, trained, *source, "-o", path, *SEARCH)
        assert done.returncode == 0 and done.out == "", done.err
        made[command] = list(read_pairs(Corpus(path=str(path))))
        record = json.loads((tmp_path / f"{command}.record.json").read_text())
        assert record["counts"]["read"] == len(lines)
        assert record["counts"]["written"] == len(made[command]) > 0
        assert f"{{path: {path}" in done.err
    assert [(p.target, p.source) for p in made["backtranslate"]] == [
        (p.source, p.target) for p in made["distill"]
    ]
    assert {pair.source for pair in made["distill"]} <= set(lines)
