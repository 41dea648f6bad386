"""Source words in the place of `<unk>`."""

import pytest

from s2s_cli.decoding.unknown import replaced_unknown, source_word
from s2s_cli.text.tokenizer import UNK

SOURCE = ["Dr", ".", " Mü", "ller", ",", " l'", "eau", " 3.", "14", " (", "x", ")"]


@pytest.mark.parametrize(
    ("position", "word"),
    [(0, "Dr"), (1, "."), (2, "Müller"), (3, "Müller"), (4, ","), (5, "l'eau"), (6, "l'eau"),
     (7, "3.14"), (8, "3.14"), (9, "("), (10, "x"), (12, None), (99, None)],
)  # fmt: skip
def test_the_word_around_a_source_token_is_whole_and_without_its_punctuation(position, word):
    found = source_word(SOURCE, position)
    assert (found and found[2]) == word


def test_white_space_that_is_a_token_belongs_to_the_word_behind_it():
    assert source_word([" ", "a", "b", " ", "c"], 3)[2] == "c"
    assert source_word(["", "ab"], 0)[2] == "ab"


def test_in_scripts_without_spaces_a_word_is_a_token():
    assert source_word([" 我们", "走", "。"], 1)[2] == "走"
    assert source_word([" 我们", "走", "。"], 0)[2] == "我们"


def test_several_unknown_tokens_for_one_word_become_that_word_once():
    ids = [10, UNK, UNK, 11, UNK, UNK]
    tokens = ["▁Herr", "<unk>", "<unk>", ",", "<unk>", "<unk>"]
    found = replaced_unknown(ids, tokens, [0, 2, 3, 4, 6, 99], SOURCE)
    assert found == (["▁Herr", "▁Müller", ",", "▁l'eau", "▁⁇▁"], 2)
