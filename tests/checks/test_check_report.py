"""The report of `s2s check` as a person and as a program see it."""

import json

import pytest
from conftest import s2s
from corpora import DirtyCorpus


@pytest.fixture
def dirty(tmp_path, corpus):
    """A corpus of 40 clean pairs: replace lines and `write` it."""
    return DirtyCorpus(tmp_path, corpus)


REPORT = """\
training            39 pairs,          37 used   <unk> 0.000% of the source, 0.000% of the target
validation          24 pairs,          24 used   <unk> 0.000% of the source, 0.000% of the target

fail  training    line that is not UTF-8                   1  training stops
    b:5  \\xff
warn  training    pair with an empty side                  2  left out
    b:2  1 2 |
    b:3  1 3 |
warn  training    pair with identical sides                1  used
    a:4  9 | 9
warn  training    control or zero-width character          4  used
    b:7  \\u200bone
    b:8  \\u200bone
    b:9  \\u200bone

failed: 1 problem to fix before training, and 3 warnings
"""


@pytest.mark.slow
def test_the_report_and_its_json_go_to_stdout_with_the_exit_code(dirty):
    dirty.sources[1:3], dirty.targets[1:3] = [b"1 2", b"1 3"], [b"", b""]
    dirty.sources[3] = dirty.targets[3] = b"9"
    dirty.targets[4] = b"\xff"
    dirty.targets[6:10] = ["\u200bone".encode()] * 4
    config = dirty.write()
    process = s2s("check", config, cwd=dirty.folder)
    assert (process.returncode, process.err) == (1, "")
    assert process.out == REPORT

    process = s2s("check", config, "--json", cwd=dirty.folder)
    report = json.loads(process.out)
    assert (process.returncode, report["passes"]) == (1, False)
    assert report["splits"][0] == {
        "name": "training",
        "read": 39,
        "used": 37,
        "left_out": {"empty_side": 2},
        "source_tokens": 290,
        "target_tokens": 687,
        "source_unknown": 0,
        "target_unknown": 0,
        "weight": 37.0,
    }
    assert [finding["kind"] for finding in report["findings"]] == [
        "invalid_utf8",
        "empty_side",
        "identical",
        "control",
    ]

    dirty.targets[4] = b"one"
    process = s2s("check", dirty.write(), cwd=dirty.folder)
    assert process.returncode == 0 and process.out.endswith("\npassed, with 3 warnings\n")
