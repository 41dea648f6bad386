"""Dirt that is planted among clean pairs is found, and no clean pair is lost."""

import pytest
from cleaned import clean_lines, reasons
from dirt import KINDS, clean_pairs, plant


@pytest.mark.parametrize("seed", [1, 2])
def test_all_planted_dirt_is_found_with_its_reason_and_no_clean_pair_is_lost(tmp_path, seed):
    pairs = clean_pairs(1_500, seed)
    lines, dirty = plant(pairs, 8, seed)
    report, kept, rejected = clean_lines(tmp_path, lines)
    assert reasons(rejected) == {line: KINDS[kind][0] for line, kind in dirty.items()}
    assert [pair[:2] for pair in kept] == pairs
    (corpus,) = report.corpora
    assert (corpus.read, corpus.kept) == (len(lines), len(pairs))
