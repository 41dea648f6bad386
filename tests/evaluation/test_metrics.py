"""Scores and their intervals are those that sacreBLEU's own command gives."""

import json
import re
import subprocess
import sys

import pytest

from s2s_cli.errors import ConfigError, S2SError
from s2s_cli.evaluation import metrics
from s2s_cli.evaluation.metrics import Scoring, score_translations

TRANSLATIONS = [
    "The cat sits on the mat .",
    "A dog runs in park .",
    "Two men are walk home .",
    "The dog and the cat .",
]
REFERENCES = [
    ["The cat sat on the mat .", "A dog runs in the park .", "Two men walk home .", "A dog ."],
    ["A cat sat on a mat .", "A dog is in the park .", "Two men go home .", "The dog , a cat ."],
]


def by_sacrebleu(folder, *options) -> dict:
    """The scores of the same sentences by the command of sacreBLEU, by name of the metric."""
    for name, lines in (("a", TRANSLATIONS), ("r0", REFERENCES[0]), ("r1", REFERENCES[1])):
        (folder / name).write_text("".join(line + "\n" for line in lines))
    command = [
        sys.executable,
        "-m",
        "sacrebleu",
        "r0",
        "r1",
        "-i",
        "a",
        "-m",
        "bleu",
        "chrf",
        "ter",
    ]
    found = subprocess.run(
        [*command, "--confidence", "-w", "6", "--format", "json", "--force", *options],
        cwd=folder,
        capture_output=True,
        check=True,
        text=True,
    )
    return {score["name"][:3].lower(): score for score in json.loads(found.stdout)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scoring", "options"),
    [
        (Scoring("13a"), ["--tokenize", "13a"]),
        (Scoring("none"), ["--tokenize", "none"]),
        (Scoring("13a", lowercase=True), ["--lowercase", "--chrf-lowercase"]),
    ],
)
def test_scores_intervals_and_signatures_are_those_of_sacrebleus_command(
    tmp_path, scoring, options
):
    expected = by_sacrebleu(tmp_path, *options)
    found = score_translations(TRANSLATIONS, REFERENCES, scoring, resamples=1000)
    assert [score.name for score in found] == ["bleu", "chrf", "ter"]
    for score in found:
        own = expected[score.name[:3]]
        low, high = score.interval
        assert score.value == pytest.approx(own["score"], abs=1e-5)
        assert (low + high) / 2 == pytest.approx(own["confidence_mean"], abs=1e-5)
        assert (high - low) / 2 == pytest.approx(own["confidence_var"], abs=1e-5)
        signature = dict(re.findall(r"(\w+):([^|]+)", score.signature))
        assert {key: own[key] for key in signature} == signature
    assert score_translations(TRANSLATIONS, REFERENCES, scoring, resamples=1000) == found


def test_without_resamples_there_are_no_intervals_and_the_scores_are_the_same():
    with_intervals = score_translations(TRANSLATIONS, REFERENCES, Scoring("13a"), resamples=100)
    without = score_translations(TRANSLATIONS, REFERENCES, Scoring("13a"))
    assert [score.value for score in without] == [score.value for score in with_intervals]
    assert {score.interval for score in without} == {None}
    assert "interval" not in without[0].as_json() and "bs:" not in without[0].signature


def test_where_some_resamples_score_0_there_is_a_score_and_no_wrong_interval():
    texts = ["a b c d e", "x", "y"]
    references = [["a b c d e", "q", "r"]]
    bleu, chrf, ter = score_translations(texts, references, Scoring("13a"), resamples=200)
    without = score_translations(texts, references, Scoring("13a"))
    assert [s.value for s in (bleu, chrf, ter)] == [s.value for s in without]
    for score in (bleu, chrf, ter):
        assert score.interval is None or score.interval[0] <= score.value <= score.interval[1]


def test_the_interval_of_scores_that_are_all_0_is_0():
    found = score_translations(["a"], [["b"]], Scoring("13a"), resamples=10)
    assert [(score.value, score.interval) for score in found[:2]] == 2 * [(0, (0, 0))]


@pytest.mark.parametrize("seed", ["0", "-1", "x", ""])
def test_a_seed_that_sacrebleu_cannot_use_is_refused(monkeypatch, seed):
    monkeypatch.setenv("SACREBLEU_SEED", seed)
    with pytest.raises(ConfigError) as caught:
        score_translations(TRANSLATIONS, REFERENCES, Scoring("13a"), resamples=100)
    assert caught.value.message == (
        f"SACREBLEU_SEED is {seed!r}; it must be a number of at least 1, or none."
    )
    assert caught.value.hint == "Unset this variable of the environment: the seed is then 12345."


def test_another_seed_is_followed_and_in_the_signature(monkeypatch):
    first = score_translations(TRANSLATIONS, REFERENCES, Scoring("13a"), resamples=100)[0]
    monkeypatch.setenv("SACREBLEU_SEED", "7")
    other = score_translations(TRANSLATIONS, REFERENCES, Scoring("13a"), resamples=100)[0]
    assert "seed:12345" in first.signature and "seed:7" in other.signature
    assert first.value == other.value and first.interval != other.interval


def test_resampling_that_does_not_fit_into_memory_is_refused(monkeypatch):
    monkeypatch.setattr(metrics, "available_memory", lambda: 10**6)
    with pytest.raises(S2SError) as caught:
        score_translations(["a"] * 50_000, [["a"] * 50_000], Scoring("13a"), resamples=100)
    assert caught.value.message == (
        "memory is too short to resample 50,000 sentences: that takes some 5.0 GB."
    )
    assert caught.value.hint == (
        "Score fewer sentences at a time; `s2s evaluate --resamples 0` leaves the intervals out."
    )
