"""Systems are compared as sacreBLEU's own command compares them."""

import random
import re
import subprocess
import sys

import pytest

from s2s_cli.evaluation.compare import compare, number_of_tests
from s2s_cli.evaluation.inputs import EvaluationSet
from s2s_cli.evaluation.metrics import Scoring

WORDS = ["the", "cat", "dog", "man", "house", "sits", "runs", "on", "in", "a", "red", "old"]
CHOOSER = random.Random(5)
REFERENCE = [" ".join(CHOOSER.choices(WORDS, k=8)) + "." for _ in range(40)]


def damaged(share: float) -> list[str]:
    """The references with another word in place of some."""
    return [
        " ".join(CHOOSER.choice(WORDS) if CHOOSER.random() < share else w for w in line.split())
        for line in REFERENCE
    ]


SYSTEMS = [("base", damaged(0.35)), ("better", damaged(0.2)), ("same", damaged(0.35))]
TEST_SET = EvaluationSet([f"source {n}" for n in range(1, 41)], [REFERENCE])


@pytest.fixture(scope="module")
def comparison():
    return compare(SYSTEMS, TEST_SET, Scoring("13a"), show=3)


def by_sacrebleu(folder, test) -> list[list[float]]:
    """The numbers in the table of sacreBLEU's command, row by row: scores, means and half-widths;
    under those of each system but the first its p-values."""
    for name, lines in [("reference", REFERENCE), *SYSTEMS]:
        (folder / name).write_text("".join(line + "\n" for line in lines))
    command = [sys.executable, "-m", "sacrebleu", "reference", "-m", "bleu", "chrf", "ter", "-i"]
    command += [*(name for name, _ in SYSTEMS), f"--paired-{test}", "-w", "4", "--format", "text"]
    shown = subprocess.run(command, cwd=folder, capture_output=True, check=True, text=True).stdout
    rows = [re.findall(r"\d+\.\d{4}", line) for line in shown.splitlines() if line[0:1] == "│"]
    return [[float(number) for number in row] for row in rows if row]


@pytest.mark.slow
def test_p_values_and_intervals_are_those_of_sacrebleus_command(comparison, tmp_path):
    bootstrap, randomisation = (by_sacrebleu(tmp_path, test) for test in ("bs", "ar"))
    for index in range(len(SYSTEMS)):
        own = [metric.systems[index] for metric in comparison.metrics]
        row = max(0, 2 * index - 1)
        sampled = [
            number
            for score in own
            for low, high in [score.interval]
            for number in (score.value, (low + high) / 2, (high - low) / 2)
        ]
        assert bootstrap[row] == pytest.approx(sampled, abs=1e-4)
        assert randomisation[row] == pytest.approx([score.value for score in own], abs=1e-4)
        if index:
            p = [score.p_bootstrap for score in own], [score.p_randomisation for score in own]
            found = (bootstrap[row + 1], randomisation[row + 1])
            assert found == (pytest.approx(p[0], abs=1e-4), pytest.approx(p[1], abs=1e-4))
    assert 0.05 > comparison.metrics[0].systems[1].p_bootstrap > 0
    assert comparison.metrics[0].systems[2].p_bootstrap > 0.05


@pytest.mark.slow
def test_results_repeat_and_do_not_depend_on_which_systems_are_beside(comparison):
    done = []
    two = compare(SYSTEMS[:2], TEST_SET, Scoring("13a"), show=3, on_test=done.append)
    for metric, other in zip(two.metrics, comparison.metrics, strict=True):
        assert metric.systems == other.systems[:2] and metric.signatures == other.signatures
    assert two.differences == comparison.differences[:1]
    assert sum(done) == number_of_tests(Scoring("13a")) == 6


@pytest.mark.slow
def test_a_system_does_not_differ_from_itself():
    found = compare([SYSTEMS[0], SYSTEMS[0]], TEST_SET, Scoring("13a"), show=3)
    for metric in found.metrics:
        itself = metric.systems[1]
        assert (itself.difference, itself.p_bootstrap, itself.p_randomisation) == (0, 1, 1)
    (differences,) = found.differences
    assert (differences.different, differences.better, differences.worse) == (0, 0, 0)
    assert differences.most == []


@pytest.mark.slow
def test_sentences_that_differ_most_by_chrf_are_listed_with_all_that_is_known_of_them():
    test_set = EvaluationSet(["a", "b", "c"], [["eins", "zwei", "drei"], ["ein", "zwo", "drei"]])
    systems = [("x", ["eins", "zwei", "ganz anders"]), ("y", ["ein", "wo", "drei"])]
    (found,) = compare(systems, test_set, Scoring("13a"), show=1).differences
    assert (found.system, found.different, found.better, found.worse) == ("y", 3, 1, 1)
    (most,) = found.most
    assert (most.line, most.source, most.references) == (3, "c", ["drei", "drei"])
    assert (most.baseline, most.translation) == ("ganz anders", "drei")
    assert most.chrf == 100 and most.baseline_chrf < 20
