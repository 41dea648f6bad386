"""A tokenizer of BLEU that does not fit the targets is warned of when training begins."""

from types import SimpleNamespace

import pytest

from s2s_cli.config.schema import Training
from s2s_cli.training.validation import bleu_warnings


@pytest.mark.parametrize(
    ("targets", "tokenizer", "better"),
    [
        (["我们今天去学校。", "他喜欢书。"], "13a", "zh"),
        (["น้ำดี"], "intl", "char"),
        (["我们今天去学校。"], "zh", None),
        (["Wir gehen heute."], "13a", None),
    ],
)
def test_targets_without_spaces_need_another_tokenizer_than_one_for_words(
    targets, tokenizer, better
):
    store = SimpleNamespace(texts=lambda: (("source", target) for target in targets))
    found = bleu_warnings(Training(bleu_tokenizer=tokenizer), store)
    expected = (
        "the targets are written without spaces between words, so BLEU with"
        f" {tokenizer} takes whole lines for words; set training.bleu_tokenizer to {better} or auto"
    )
    assert found == (() if better is None else (expected,))


def test_without_validation_there_is_nothing_to_warn_of():
    assert bleu_warnings(Training(bleu_tokenizer="13a"), None) == ()
