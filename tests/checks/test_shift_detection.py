import random

import pytest
from corpora import lines_with_shared_names

from s2s_cli.checks.alignment import ShiftDetector


def shifts(sources, targets):
    detector = ShiftDetector()
    for source, target in zip(sources, targets, strict=False):
        detector.add(source, target)
    return [(shift.line, shift.offset) for shift in detector.shifts]


@pytest.mark.parametrize("number", [1_000, pytest.param(29_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("offset", [1, -1])
def test_a_line_that_one_file_lacks_is_found_near_where_it_was(number, offset):
    sides = lines_with_shared_names(number, seed=number)
    middle = number // 2
    del sides[0 if offset > 0 else 1][middle]
    ((line, found),) = shifts(*sides)
    assert found == offset and abs(line - middle) <= 30


def test_lines_that_both_files_lack_in_different_places_are_found():
    sources, targets = lines_with_shared_names(1_000, seed=7)
    del sources[300], targets[600]
    (begin, first), (end, second) = shifts(sources, targets)
    assert (first, second) == (1, 0)
    assert abs(begin - 300) <= 30 and abs(end - 600) <= 30


@pytest.mark.parametrize("seed", range(3))
def test_neither_aligned_files_nor_files_in_no_order_look_shifted(seed):
    sources, targets = lines_with_shared_names(5_000, seed)
    assert shifts(sources, targets) == []
    random.Random(seed).shuffle(targets)
    assert shifts(sources, targets) == []
    assert shifts(["the same"] * 500, ["das gleiche"] * 500) == []
