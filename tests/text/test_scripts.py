"""Which tokenizer BLEU needs follows from the script."""

import pytest

from s2s_cli.text.scripts import better_bleu_tokenizer, bleu_tokenizer
from s2s_cli.text.splitting import is_unspaced


@pytest.mark.parametrize(
    ("sentence", "tokenizer"),
    [
        ("Ein Haus am See.", "13a"),
        ("Дом у озера.", "13a"),
        ("집이 호수 옆에 있다.", "13a"),
        ("بيت على البحيرة", "13a"),
        ("湖边的房子。", "zh"),
        ("湖边有一座 IBM 的房子。", "zh"),
        ("湖のそばの家です。", "char"),
        ("บ้านริมทะเลสาบ", "char"),
        ("123", "13a"),
    ],
)
def test_the_tokenizer_of_bleu_follows_the_script(sentence, tokenizer):
    assert bleu_tokenizer([sentence] * 3) == tokenizer


def test_a_few_foreign_sentences_do_not_matter():
    assert bleu_tokenizer(["A house by the lake."] * 9 + ["湖边的房子。"]) == "13a"


def test_words_need_no_space_in_these_scripts():
    assert all(map(is_unspaced, "我ひカ。ไ")) and not any(map(is_unspaced, "aя집ا."))


def test_a_tokenizer_that_takes_lines_for_words_is_named_with_a_better_one():
    assert better_bleu_tokenizer(["我们今天去学校。"], "13a") == "zh"
    assert better_bleu_tokenizer(["私は学校に行く。"], "intl") == "char"
    assert better_bleu_tokenizer(["私は学校に行く。"], "zh") is None
    assert better_bleu_tokenizer(["We go to school."], "13a") is None
