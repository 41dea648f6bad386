"""The corpora become tokenizers and token stores in the run directory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass

from s2s_cli.commands.settle import settings_without_paths
from s2s_cli.errors import DataError, RunError
from s2s_cli.events import TokenizerLearned
from s2s_cli.run import Run
from s2s_cli.schema import Config, Data
from s2s_cli.text.corpus import Pair, sentences, training_pairs, validation_pairs
from s2s_cli.text.filters import Limits
from s2s_cli.text.lexicon import Lexicon, learn_lexicon
from s2s_cli.text.store import Counts, TokenStore, build_store, open_store
from s2s_cli.text.tokenizer import Tokenizer, learn


@dataclass(frozen=True)
class Tokenizers:
    """One for each side, the same one where they are shared."""

    source: Tokenizer
    target: Tokenizer


def prepare_tokenizers(
    run: Run, config: Config, threads: int
) -> Generator[TokenizerLearned, None, Tokenizers]:
    """Loads the tokenizers of the run, or learns them; returns them."""
    shared = config.tokenizer.shared
    found = {}
    for side in ("shared",) if shared else ("source", "target"):
        path = run.tokenizer_file(side, shared)
        if path.is_file():
            found[side] = Tokenizer.load(path, config.tokenizer.type)
            continue
        found[side] = learn(
            sentences(training_pairs(config.data, config.training.seed), side),
            config.tokenizer,
            path,
            seed=config.training.seed,
            threads=threads,
        )
        yield TokenizerLearned(side, found[side].size)
    if shared:
        return Tokenizers(found["shared"], found["shared"])
    return Tokenizers(found["source"], found["target"])


def prepare_stores(
    run: Run, config: Config, tokenizers: Tokenizers, threads: int
) -> tuple[TokenStore, TokenStore | None]:
    """The token stores of both splits, made anew where they are not from this config."""
    data, seed = config.data, config.training.seed
    assert config.resolved is not None
    made_from = {
        "files": [file.sha256 for file in config.resolved.files],
        "data": settings_without_paths(config),
        "tokenizer": [tokenizers.source.pieces(), tokenizers.target.pieces()],
        "normalization": config.tokenizer.model_dump(mode="json"),
        "seed": seed,
    }
    key = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()

    def store(split: str, pairs: Iterator[Pair]) -> TokenStore:
        opened = open_store(run.store(split), key) or build_store(
            run.store(split),
            key,
            pairs,
            tokenizers.source,
            tokenizers.target,
            limits=Limits.of(data),
            threads=threads,
        )
        if opened.counts == Counts():
            raise DataError(
                f"data.validation.fraction is {data.validation and data.validation.fraction}, which"
                f" leaves no sentence pair for {split}.",
                "Choose another fraction, or name files to validate on.",
            )
        if len(opened) == 0:
            raise DataError(
                f"No sentence pair is left to use for {split}: {_left_out(opened.counts, data)}.",
                "Check the corpus with `s2s check`, or change these settings.",
            )
        return opened

    train_store = store("train", training_pairs(data, seed))
    if data.validation is None:
        return train_store, None
    return train_store, store("validation", validation_pairs(data, seed))


def _left_out(counts: Counts, data: Data) -> str:
    reasons = (
        (counts.empty_side, "have an empty side"),
        (counts.too_long, f"are longer than data.max_length ({data.max_length})"),
        (counts.uneven, f"break data.max_length_ratio ({data.max_length_ratio})"),
        (counts.identical, "are dropped by data.drop_identical"),
    )
    return ", ".join(f"{number} {what}" for number, what in reasons if number)


def prepare_lexicon(run: Run, store: TokenStore, tokenizers: Tokenizers, seed: int) -> Lexicon:
    """The lexicon of the run, learned where there is none that can be read."""
    types = tokenizers.source.size, tokenizers.target.size
    with suppress(RunError):
        return Lexicon.load(run.lexicon_file, *types)
    lexicon = learn_lexicon(store, *types, seed=seed)
    lexicon.save(run.lexicon_file)
    return lexicon
