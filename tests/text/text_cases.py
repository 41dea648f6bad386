"""Small tokenizers, pairs and stores that the tests of text share."""

from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings

from s2s_cli.config.schema import Tokenizer as TokenizerConfig
from s2s_cli.text.filters import Filters
from s2s_cli.text.rows import Pair
from s2s_cli.text.store import TokenStore, build_store
from s2s_cli.text.tokenizer import Tokenizer, Tokenizers, learn

property_test = settings(
    deadline=None, derandomize=True, max_examples=80, suppress_health_check=list(HealthCheck)
)


def character_tokenizer(folder: Path) -> Tokenizer:
    """Each character is a token, and so is the mark that begins a word."""
    config = TokenizerConfig(type="char", vocab_size=60)
    text = ["abcdefghijklmnopqrstuvwxyz 0123456789"]
    return learn(text, config, folder / "characters.model", seed=1, threads=1)


def make_store(folder: Path, pairs: list[Pair], tokenizer: Tokenizer, **given) -> TokenStore:
    return build_store(
        folder / "store",
        "key",
        pairs,
        Tokenizers(tokenizer, tokenizer),
        **{"filters": Filters(50), "threads": 1, **given},
    )


def random_pairs(number: int) -> list[Pair]:
    lengths = np.random.default_rng(5).integers(1, 30, (number, 2))
    return [Pair("a" * source, "b" * target) for source, target in lengths]
