"""The config that `s2s init` writes."""

import pytest

from s2s_cli.config.load import load_config
from s2s_cli.config.starter import starter_config


@pytest.mark.parametrize("architecture", ["lstm", "gru", "transformer"])
@pytest.mark.parametrize(
    ("pairs", "tokenizer", "vocab_size", "fraction"),
    [
        (1, "char", 2000, 0.05),
        (2_000, "bpe", 2000, 0.05),
        (100_000, "bpe", 8000, 0.01),
        (10_000_000, "bpe", 8000, 0.001),
    ],
)
def test_the_starter_config_is_valid_and_suits_the_number_of_pairs(
    tmp_path, pairs, tokenizer, vocab_size, fraction, architecture
):
    text = starter_config('a "b".en', "ä: #1.de", pairs, architecture)
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
    assert config.data.validation and config.data.validation.fraction == fraction
