"""What is measured: configs, the corpora for them, and how many operations a model needs."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from s2s_cli.config.schema import Config, ModelSettings
    from s2s_cli.model.family import VocabSizes
    from s2s_cli.text.store import TokenStore

# The model that the other programs are given too: 9.4 M parameters, batches of 64 sentences.
REFERENCE: dict[str, Any] = {
    "model": {
        "embedding": {"size": 256, "shared": True},
        "encoder": {"layers": 1, "units": 256, "bidirectional": True},
        "decoder": {"layers": 1, "units": 512, "attention": "general"},
        "dropout": 0.3,
    },
    "training": {
        "batch_size": 64,
        "optimizer": {"name": "adam", "learning_rate": 5e-4, "clip_norm": 1.0},
        "label_smoothing": 0.1,
    },
}

# Transformer-Tiny, as the other programs are given it: 2.4 M parameters, batches of 4,096 tokens.
TRANSFORMER_TINY: dict[str, Any] = {
    "model": {
        "architecture": "transformer",
        "embedding": {"size": 128, "shared": True, "tied": True},
        "heads": 4,
        "feed_forward": 256,
        "encoder": {"layers": 4},
        "decoder": {"layers": 4},
        "dropout": 0.3,
        "attention_dropout": 0.1,
    },
    "training": {
        "batch_tokens": 4096,
        "optimizer": {"name": "adam", "learning_rate": 1e-3, "clip_norm": 1.0},
        "label_smoothing": 0.1,
    },
}
# As Marian is given it: batches of 64 sentences, no dropout of attention weights.
TRANSFORMER_TINY_64: dict[str, Any] = {
    "model": {**TRANSFORMER_TINY["model"], "attention_dropout": 0.0},
    "training": {**TRANSFORMER_TINY["training"], "batch_tokens": None, "batch_size": 64},
}


def bare(units: int, batch_size: int) -> dict[str, Any]:
    """Two LSTMs joined by their states, and an output layer, as the PyTorch reference has them."""
    return {
        "model": {
            "embedding": {"size": 256},
            "encoder": {"layers": 1, "units": units, "bidirectional": False},
            "decoder": {"layers": 1, "units": units, "attention": "none"},
            "dropout": 0.0,
        },
        "training": {
            "batch_size": batch_size,
            "optimizer": {"name": "adam", "learning_rate": 1e-3, "clip_norm": None},
            "label_smoothing": 0.0,
        },
    }


BARE_SIZES = ((512, 64), (256, 32), (128, 32))


def make_config(model: dict[str, Any], training: dict[str, Any]) -> Config:
    """A config of these sections; its data are never read."""
    from s2s_cli.config.schema import config_type

    sections = {"data": {"train": {"tsv": "unused"}}, "model": model, "training": training}
    return config_type().model_validate(sections)


def operations(
    settings: ModelSettings, sizes: VocabSizes, source_tokens: float, target_tokens: float
) -> float:
    """Floating-point operations of the matrix products of a forward pass.

    The products of the attention and all elementwise arithmetic are left out, so shares of the
    machine's limit are understated.
    """
    from s2s_cli.model.family import family_of

    source, target = family_of(settings).products_per_token(settings, sizes)
    return 2 * (source * source_tokens + target * target_tokens)


def make_data(folder: Path, pairs: list[tuple[str, str]], tokenizer: dict[str, Any]) -> Path:
    """Writes a token store of these pairs, under one vocabulary for both sides."""
    from s2s_cli.config.schema import Tokenizer
    from s2s_cli.text.filters import Filters
    from s2s_cli.text.rows import Pair
    from s2s_cli.text.store import build_store
    from s2s_cli.text.tokenizer import Tokenizers, learn

    folder.mkdir(parents=True)
    sentences = [sentence for pair in pairs for sentence in pair]
    config = Tokenizer.model_validate(tokenizer)
    learned = learn(sentences, config, folder / "tokenizer.model", seed=1, threads=2)
    rows = [Pair(source, target) for source, target in pairs]
    tokenizers = Tokenizers(learned, learned)
    build_store(folder / "store", "benchmark", rows, tokenizers, filters=Filters(100), threads=2)
    (folder / "vocab_size.json").write_text(json.dumps(learned.vocab_size), encoding="utf-8")
    return folder


def open_data(folder: Path) -> tuple[TokenStore, int]:
    """The token store that `make_data` wrote, and the size of its vocabulary."""
    from s2s_cli.text.store import open_store

    store = open_store(folder / "store", "benchmark")
    assert store is not None, f"{folder} holds no benchmark data"
    return store, json.loads((folder / "vocab_size.json").read_text(encoding="utf-8"))


def captions(count: int = 29_000) -> Iterator[tuple[str, str]]:
    """Invented pairs with the lengths of image captions, for those who have no corpus at hand."""
    chooser = random.Random(1)
    words = [_word(chooser) for _ in range(12_000)]
    weights = [1 / (rank + 3) for rank in range(len(words))]
    for _ in range(count):
        length = max(3, round(chooser.gauss(12, 4)))
        source = chooser.choices(words, weights, k=length)
        target = chooser.choices(words, weights, k=max(2, length + chooser.randint(-3, 3)))
        yield " ".join(source), " ".join(target)


def equal_lengths(count: int = 12_800, words: int = 8_000) -> Iterator[tuple[str, str]]:
    """Pairs of 15 words a side, so that all batches have one shape and no padding."""
    chooser = random.Random(1)
    names = [f"w{number}" for number in range(words)]
    for _ in range(count):
        yield " ".join(chooser.choices(names, k=15)), " ".join(chooser.choices(names, k=15))


def _word(chooser: random.Random) -> str:
    syllables = (chooser.choice("bdfgklmnprstvz") + chooser.choice("aeiou") for _ in range(4))
    return "".join(itertools.islice(syllables, chooser.randint(1, 4)))
