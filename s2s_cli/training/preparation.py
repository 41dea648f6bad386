"""Turns corpora into tokenizers, token stores and a lexicon in the run directory.

What exists already and was made from the same settings and files is opened, not made again.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from s2s_cli.config.schema import Corpus, Data, Files, ResolvedConfig
from s2s_cli.errors import DataError, RunError
from s2s_cli.runs.run import Run
from s2s_cli.text.corpus import (
    both_directions,
    sentences,
    total_bytes,
    training_pairs,
    validation_pairs,
)
from s2s_cli.text.filters import Filters, describe_left_out
from s2s_cli.text.holdout import held_out, held_out_below
from s2s_cli.text.lexicon import Lexicon, learn_lexicon
from s2s_cli.text.lines import Reading
from s2s_cli.text.rows import Pair
from s2s_cli.text.store import STORE_FORMAT, TokenStore, build_store, open_store
from s2s_cli.text.tokenizer import (
    Tokenizer,
    Tokenizers,
    learn,
    learn_shared,
    normalization_rule,
)
from s2s_cli.training.events import (
    CorporaRead,
    DataReady,
    PreparationEvent,
    PreparationProgress,
    TokenizerLearned,
)
from s2s_cli.training.initialization import copy_tokenizers

# Seconds between two reports of progress.
REPORT_INTERVAL = 0.2

# What the splits are called in reports, by the name of their store.
_NAMES = {"train": "training", "validation": "validation"}

_Result = TypeVar("_Result")
_Cancel = Callable[[int], None]


@dataclass(frozen=True)
class Prepared:
    """All that a training reads. A store's `key` identifies what it was made from."""

    tokenizers: Tokenizers
    train: TokenStore
    validation: TokenStore | None
    lexicon: Lexicon


def prepare(
    run: Run, config: ResolvedConfig, threads: int
) -> Generator[PreparationEvent, None, Prepared]:
    """Makes or opens the tokenizers, token stores and lexicon of a run; yields progress.

    Raises DataError if the corpora cannot be used.
    """
    tokenizers = yield from _prepare_tokenizers(run, config, threads)
    train = yield from _prepare_store(run, config, tokenizers, "train", threads)
    validation = None
    if config.data.validation is not None:
        validation = yield from _prepare_store(run, config, tokenizers, "validation", threads)
    lexicon = _prepare_lexicon(run, train, tokenizers, config.training.seed)
    yield DataReady(
        train.counts,
        validation.counts if validation else None,
        train.unknown_shares(),
        is_bidirectional=config.data.bidirectional,
    )
    return Prepared(tokenizers, train, validation, lexicon)


def _prepare_tokenizers(
    run: Run, config: ResolvedConfig, threads: int
) -> Generator[PreparationEvent, None, Tokenizers]:
    paths = {side: run.tokenizer_file(side) for side in ("source", "target")}
    type_ = config.tokenizer.type
    initial = config.training.initialize_from
    if initial and initial.tokenizer and not all(path.is_file() for path in paths.values()):
        copy_tokenizers(config, run)
    if config.tokenizer.shared:
        if all(path.is_file() for path in paths.values()):
            return Tokenizers.load(paths["source"], paths["target"], type_)
        learn_both = functools.partial(_learn_shared, config, paths, threads)
        both = yield from _with_progress("vocabulary", config.data.train, learn_both)
        yield TokenizerLearned("shared", both.source.vocab_size)
        return both
    found = {}
    for side, path in paths.items():
        if path.is_file():
            found[side] = Tokenizer.load(path, type_)
            continue
        learn_side = functools.partial(_learn_side, config, side, path, threads)
        stage = f"{side} vocabulary"
        found[side] = yield from _with_progress(stage, config.data.train, learn_side)
        yield TokenizerLearned(side, found[side].vocab_size)
    return Tokenizers(found["source"], found["target"])


def _learn_side(
    config: ResolvedConfig,
    side: str,
    path: Path,
    threads: int,
    read: Reading,
    check: _Cancel,
) -> Tokenizer:
    return learn(
        (text for _, text in sentences(_training_pairs(config, read), side)),
        config.tokenizer,
        path,
        side=side,
        tags=config.data.source_tags if side == "source" else (),
        seed=config.training.seed,
        threads=threads,
        on_progress=check,
    )


def _learn_shared(
    config: ResolvedConfig,
    paths: dict[str, Path],
    threads: int,
    read: Reading,
    check: _Cancel,
) -> Tokenizers:
    return learn_shared(
        sentences(_training_pairs(config, read)),
        config.tokenizer,
        paths,
        tags=config.data.source_tags,
        seed=config.training.seed,
        threads=threads,
        on_progress=check,
    )


def _training_pairs(config: ResolvedConfig, read: Reading) -> Iterator[Pair]:
    pairs = training_pairs(config.data, held_out(config), read)
    return both_directions(pairs) if config.data.bidirectional else pairs


def _prepare_store(
    run: Run, config: ResolvedConfig, tokenizers: Tokenizers, split: str, threads: int
) -> Generator[PreparationEvent, None, TokenStore]:
    key = store_key(config, tokenizers, split)
    store = open_store(run.store(split), key)
    if store is None:
        found = Reading()

        def build(read: Reading, check: _Cancel) -> TokenStore:
            nonlocal found
            found = read
            return build_store(
                run.store(split),
                key,
                _pairs(config, split, read),
                tokenizers,
                filters=Filters.from_settings(config.data, config.model),
                threads=threads,
                source_tags=tag_ids(config.data, tokenizers) if split == "train" else (),
                on_progress=check,
            )

        store = yield from _with_progress(
            f"{_NAMES[split]} pairs", _files(config.data, split), build
        )
        if split == "train" and (found.read_as or found.line_ends):
            yield CorporaRead(tuple(found.read_as.items()), found.line_ends)
    _require_pairs(store, config.data, split)
    _require_weight(store, split)
    return store


def _pairs(config: ResolvedConfig, split: str, read: Reading) -> Iterator[Pair]:
    if split == "train":
        return _training_pairs(config, read)
    return validation_pairs(config.data, held_out(config), config.training.seed, read)


def tag_ids(data: Data, tokenizers: Tokenizers) -> tuple[int | None, ...]:
    """The id that is put before the sources of each training corpus, where it has a tag."""
    if not data.source_tags:
        return ()
    tags = (corpus.source_tag for corpus in data.train)
    return tuple(None if tag is None else tokenizers.source.tag_id(tag) for tag in tags)


def _files(data: Data, split: str) -> list[Files]:
    """The corpora that the pairs of a split are read from."""
    if split == "train" or data.validation is None or data.validation.is_held_out:
        return list(data.train)
    return [data.validation]


def store_key(config: ResolvedConfig, tokenizers: Tokenizers, split: str) -> str:
    """Identifies all that the token store of a split is made from, and nothing else.

    Paths do not count, only what the files hold; the seed counts where pairs are drawn by it.
    """
    data, seed = config.data, config.training.seed
    files = _files(data, split)
    section = "data.train." if files == data.train else "data.validation."
    made_from: dict[str, Any] = {
        "format": STORE_FORMAT,
        "split": split,
        "files": [
            [file.key, file.sha256]
            for file in config.resolved.files
            if file.key.startswith(section)
        ],
        "reading": [corpus.reading for corpus in files],
        "filters": [data.max_length, data.max_length_ratio, data.drop_identical],
        "tokenizers": [tokenizers.source.fingerprint, tokenizers.target.fingerprint],
    }
    if split == "train" and data.bidirectional:
        made_from["bidirectional"] = True
    if split == "train" and data.source_tags:
        made_from["source_tags"] = [
            corpus.source_tag for corpus in files if isinstance(corpus, Corpus)
        ]
    if config.model.longest_sentence is not None:
        made_from["longest_sentence"] = config.model.longest_sentence
    if data.validation is not None and data.validation.is_held_out:
        rule = normalization_rule(config.tokenizer, "source")
        made_from["held_out"] = [seed, held_out_below(config), rule]
    if split == "validation" and data.validation is not None:
        made_from["sampled"] = [seed, data.validation.max_pairs]
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def _require_pairs(store: TokenStore, data: Data, split: str) -> None:
    if store.counts.read == 0:
        assert data.validation is not None
        setting = "fraction" if data.validation.fraction is not None else "pairs"
        raise DataError(
            f"data.validation.{setting} is {getattr(data.validation, setting)}, which leaves no"
            f" sentence pair for {_NAMES[split]}.",
            "Choose another number (or `pairs: 1` for very few pairs), or name files to validate on.",
        )
    if len(store) == 0:
        raise DataError(
            f"No sentence pair is left to use for {_NAMES[split]}:"
            f" {describe_left_out(store.counts.left_out, data)}.",
            "Check the corpus with `s2s check`, or change these settings.",
        )


def _require_weight(store: TokenStore, split: str) -> None:
    if not store.weights.any():
        raise DataError(
            f"The weights of all {len(store):,} {_NAMES[split]} pairs are 0, so none of them counts.",
            "The third column of a TSV is the weight; if it is something else, set"
            " `third_column: ignore` beside `tsv:`.",
        )


def _prepare_lexicon(run: Run, store: TokenStore, tokenizers: Tokenizers, seed: int) -> Lexicon:
    """The lexicon of the run, learned again if it is damaged or of another store."""
    with suppress(RunError):
        return Lexicon.load(run.lexicon_file, *tokenizers.vocab_sizes, store_key=store.key)
    lexicon = learn_lexicon(store, *tokenizers.vocab_sizes, seed=seed)
    lexicon.save(run.lexicon_file)
    return lexicon


class _CancelledError(Exception):
    """The generator that waits for the work was closed."""


def _with_progress(
    stage: str, files: Sequence[Files], work: Callable[[Reading, _Cancel], _Result]
) -> Generator[PreparationEvent, None, _Result]:
    """Runs `work` in a thread and yields how much of the files it has read.

    `work` is given the counter to read with, and a function to call now and then, which ends
    the work once the generator is closed.
    """
    read, closed = Reading(), Event()
    total = total_bytes(files)

    def check(_: int) -> None:
        if closed.is_set():
            raise _CancelledError

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work, read, check)
        try:
            while not wait([future], REPORT_INTERVAL).done:
                yield PreparationProgress(stage, read.done, total, "B")
        finally:
            closed.set()
    result = future.result()
    yield PreparationProgress(stage, read.done, total, "B")
    return result
