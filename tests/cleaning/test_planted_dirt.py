"""Dirt that is planted among clean pairs is found, and no clean pair is lost."""

from collections import Counter
from pathlib import Path

import pytest
from cleaned import clean_lines, reasons
from dirt import KINDS, clean_pairs, plant

from s2s_cli.config.schema import Files
from s2s_cli.text.corpus import read_pairs

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.parametrize("seed", [1, 2])
def test_all_planted_dirt_is_found_with_its_reason_and_no_clean_pair_is_lost(tmp_path, seed):
    pairs = clean_pairs(1_500, seed)
    lines, dirty = plant(pairs, 8, seed)
    report, kept, rejected = clean_lines(tmp_path, lines)
    assert reasons(rejected) == {line: KINDS[kind][0] for line, kind in dirty.items()}
    assert [pair[:2] for pair in kept] == pairs
    (corpus,) = report.corpora
    assert (corpus.read, corpus.kept) == (len(lines), len(pairs))


REAL = {
    "multi30k": Files(
        source=str(DATA / "multi30k" / "train.en.gz"), target=str(DATA / "multi30k" / "train.de.gz")
    ),
    "tatoeba": Files(tsv=str(DATA / "tatoeba-fra-eng" / "fra.txt.gz"), third_column="ignore"),
}


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the corpora of ../shared/data are not here")
@pytest.mark.parametrize("name", REAL)
def test_planted_dirt_is_found_in_real_corpora_of_which_hardly_a_pair_is_lost(tmp_path, name):
    # Of Tatoeba, every fourth pair that is long enough to be broken in all the ways.
    pairs = [pair[:2] for pair in read_pairs(REAL[name]) if len(pair.source) > 30][::4]
    lines, dirty = plant(pairs, 20, 1)
    found = reasons(clean_lines(tmp_path, lines)[2])
    missed = Counter(kind for line, kind in dirty.items() if found.get(line) != KINDS[kind][0])
    assert all(count <= 1 for count in missed.values()), missed
    assert len(found.keys() - dirty.keys()) < 0.002 * len(pairs)
