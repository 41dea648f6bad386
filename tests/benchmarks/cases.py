"""What is measured: named configs, and the corpora they are measured on."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# The model that the peers are given too: 9.4 M parameters, batches of 64 sentences.
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


def bare(units: int, batch_size: int) -> dict[str, Any]:
    """Two LSTMs joined by their states and an output layer, as the PyTorch reference has them."""
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


def make_data(folder: Path, pairs: list[tuple[str, str]], tokenizer: dict[str, Any]) -> Path:
    """A token store of these pairs, under one vocabulary for both sides."""
    from s2s_cli.schema import Tokenizer
    from s2s_cli.text.corpus import Pair
    from s2s_cli.text.filters import Limits
    from s2s_cli.text.store import build_store
    from s2s_cli.text.tokenizer import learn

    folder.mkdir(parents=True)
    sentences = [sentence for pair in pairs for sentence in pair]
    config = Tokenizer.model_validate(tokenizer)
    learned = learn(sentences, config, folder / "pieces.model", seed=1, threads=2)
    rows = [Pair(source, target, 1.0, 0) for source, target in pairs]
    build_store(
        folder / "store", "benchmark", rows, learned, learned, limits=Limits(100), threads=2
    )
    (folder / "types.json").write_text(json.dumps(learned.size), encoding="utf-8")
    return folder


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


def even(count: int = 12_800, types: int = 8_000) -> Iterator[tuple[str, str]]:
    """Pairs of 15 words a side, so that every batch is of one shape and nothing is padded."""
    chooser = random.Random(1)
    words = [f"w{number}" for number in range(types)]
    for _ in range(count):
        yield " ".join(chooser.choices(words, k=15)), " ".join(chooser.choices(words, k=15))


def _word(chooser: random.Random) -> str:
    syllables = (chooser.choice("bdfgklmnprstvz") + chooser.choice("aeiou") for _ in range(4))
    return "".join(itertools.islice(syllables, chooser.randint(1, 4)))
