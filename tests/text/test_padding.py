import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from text_cases import property_test

from s2s_cli.text.padding import FlatRows, padded, source_ids, target_in_ids, target_out_ids
from s2s_cli.text.tokenizer import BOS, EOS


def test_sides_are_padded_on_the_right_after_their_special_tokens():
    sentences = [[7, 8, 9], [5], []]
    assert source_ids(sentences).tolist() == [[7, 8, 9, EOS], [5, EOS, 0, 0], [EOS, 0, 0, 0]]
    assert target_in_ids(sentences).tolist() == [[BOS, 7, 8, 9], [BOS, 5, 0, 0], [BOS, 0, 0, 0]]
    assert target_out_ids(sentences).tolist() == source_ids(sentences).tolist()
    assert source_ids(sentences).dtype == np.int32


def test_no_sentences_give_no_rows():
    assert source_ids([]).shape == (0, 1)


@property_test
@given(
    rows=st.lists(st.lists(st.integers(1, 70_000), max_size=9), max_size=6),
    before=st.lists(st.integers(1, 9), max_size=2),
    after=st.lists(st.integers(1, 9), max_size=2),
)
def test_lists_and_flat_arrays_are_padded_alike(rows, before, after):
    width = max(map(len, rows), default=0)
    flat = FlatRows(
        np.array([i for row in rows for i in row], np.int32),
        np.array(list(map(len, rows)), np.uint16),
    )
    expected = [before + row + after + [0] * (width - len(row)) for row in rows]
    assert padded(rows, before=before, after=after).tolist() == expected
    assert padded(flat, before=before, after=after).tolist() == expected
