"""The config that `s2s init` writes."""

import pytest

from s2s_cli.config.load import load_config
from s2s_cli.config.starter import starter_config, what_to_expect


@pytest.mark.parametrize("architecture", ["lstm", "gru", "transformer"])
@pytest.mark.parametrize(
    ("pairs", "tokenizer", "vocab_size", "held_out"),
    [
        (1, "char", 2000, None),
        (2, "char", 2000, 1),
        (30, "char", 2000, 1),
        (2_000, "bpe", 2000, 100),
        (100_000, "bpe", 8000, 1000),
        (10_000_000, "bpe", 8000, 1000),
    ],
)
def test_the_starter_config_is_valid_and_suits_the_number_of_pairs(
    tmp_path, pairs, tokenizer, vocab_size, held_out, architecture
):
    text = starter_config({"source": 'a "b".en', "target": "ä: #1.de"}, pairs, architecture)
    assert (
        text.startswith(f"# {pairs:,} sentence pairs.") and max(map(len, text.splitlines())) < 100
    )
    (tmp_path / "s2s.yaml").write_text(text, encoding="utf-8")
    config = load_config(tmp_path / "s2s.yaml")
    assert config.model.architecture == architecture
    corpus = config.data.train[0]
    assert (corpus.source, corpus.target) == (
        str(tmp_path / 'a "b".en'),
        str(tmp_path / "ä: #1.de"),
    )
    assert (config.tokenizer.type, config.tokenizer.vocab_size) == (tokenizer, vocab_size)
    assert (config.data.validation and config.data.validation.pairs) == held_out
    assert config.data.max_length == (400 if tokenizer == "char" else 100)
    assert config.decoding.max_length == 2 * config.data.max_length
    training = config.training
    assert 1000 <= training.max_steps <= 100_000
    assert training.schedule.warmup_steps * 8 <= training.max_steps
    assert training.validation_steps * 10 <= training.max_steps


def test_few_pairs_get_a_word_on_what_they_can_give():
    assert what_to_expect(10_000) is None
    assert what_to_expect(1).startswith("1 pair is enough to try the program")
    assert what_to_expect(9_999).startswith("9,999 pairs are enough to try the program")
