"""`s2s check`: what is wrong with the corpora of a config, and what training would do about it."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from s2s_cli.checks import findings
from s2s_cli.checks.findings import Collector, Report, Split
from s2s_cli.checks.inspection import LineInspector, PairInspector, PlacedPair
from s2s_cli.checks.repeats import SeenTexts
from s2s_cli.config.schema import Config, Files
from s2s_cli.errors import DataError
from s2s_cli.text.corpus import sentences, total_bytes, training_pairs
from s2s_cli.text.filters import IDENTICAL, UNEVEN, Filters
from s2s_cli.text.holdout import held_out
from s2s_cli.text.lines import Reading
from s2s_cli.text.rows import Pair
from s2s_cli.text.tokenizer import (
    MANY_UNKNOWN,
    SPECIAL_TOKENS,
    Tokenizer,
    Tokenizers,
    learn,
    learn_shared,
    normalizer,
)
from s2s_cli.text.word_vectors import describe_skipped, read_word_vectors

# Word vectors that match less of the vocabulary are probably of another language or tokenizer.
FEW_VECTORS = 0.2
# Rows between two reports of progress.
ROWS_PER_UPDATE = 1 << 10

_Item = TypeVar("_Item")


def check(
    config: Config,
    test: Files | None,
    *,
    threads: int,
    progress: Callable[[int], None] = lambda done: None,
) -> Report:
    """Reads every corpus of the config and a test set; reports problems instead of raising them.

    `progress` gets the number of bytes that were read, of those that `bytes_to_read` gives.
    """
    data = config.data
    collector = Collector(_outcomes(config))
    is_held_out = held_out(config)
    reading = Reading()

    def follow(items: Iterable[_Item]) -> Iterator[_Item]:
        for number, item in enumerate(items):
            if number % ROWS_PER_UPDATE == 0:
                progress(reading.done)
            yield item

    pairs = functools.partial(training_pairs, data, is_held_out, reading, skip_problems=True)
    tokenizers = _learn_tokenizers(config, lambda: follow(pairs()), collector, threads)
    splits = {name: Split(name) for name in ("training", "validation", "test")}
    lines = LineInspector(collector, reading, is_word_level=config.tokenizer.type == "word")
    inspector = PairInspector(
        collector,
        Filters.from_settings(data, config.model),
        tokenizers,
        threads,
        SeenTexts(),
        SeenTexts(),
        {side: normalizer(config.tokenizer, side) for side in ("source", "target")},
    )
    inspector.inspect(follow(_training_pairs(config, is_held_out, lines, splits)))
    others = [("validation", data.validation), ("test", test)]
    for name, files in others:
        if files is not None and files.paths:
            inspector.inspect(follow((splits[name], pair) for pair in lines.pairs(files, name)))
    names = ["training", *(name for name, files in others if files is not None)]
    for name in names:
        if splits[name].used == 0 and not collector.has_failed(name):
            collector.add_message(name, findings.NO_PAIRS, name, "no pair is left to use")
        if splits[name].used and splits[name].weight == 0 and name != "test":
            message = "the third column gives every pair the weight 0"
            collector.add_message(name, findings.NO_WEIGHT, name, message)
        _judge_unknown(splits[name], collector)
    if tokenizers is not None:
        _inspect_vectors(config, tokenizers, collector)
    found = collector.findings(names)
    return Report(
        tuple(splits[name] for name in names),
        found,
        passes=not any(finding.fails for finding in found),
        read_as=dict(reading.read_as),
    )


def bytes_to_read(config: Config, test: Files | None) -> int | None:
    """The bytes that `check` reads, of files as they are on disk; None if that cannot be told."""
    data = config.data
    train, others = total_bytes(data.train), total_bytes(filter(None, (data.validation, test)))
    if train is None or others is None:
        return None
    vocabularies = 1 if config.tokenizer.shared else 2
    return (vocabularies + 1) * train + others


def _judge_unknown(split: Split, collector: Collector) -> None:
    """Reports a side of which a large share is `<unk>`."""
    for side, unknown, tokens in (
        ("source", split.source_unknown, split.source_tokens),
        ("target", split.target_unknown, split.target_tokens),
    ):
        if tokens and unknown / tokens > MANY_UNKNOWN:
            message = (
                f"{unknown / tokens:.1%} of the tokens; subwords (bpe, unigram) have hardly any"
            )
            collector.add_message(split.name, findings.MANY_UNKNOWN, side, message)


def _inspect_vectors(config: Config, tokenizers: Tokenizers, collector: Collector) -> None:
    """Reads the files of word vectors as training would."""
    embedding = config.model.embedding
    sides = (
        (embedding.files.source, tokenizers.source),
        (embedding.files.target, tokenizers.target),
    )
    for path, tokenizer in dict.fromkeys(sides):
        if path is None:
            continue
        tokens = tokenizer.tokens()
        try:
            vectors = read_word_vectors(path, tokens, embedding.size)
        except DataError as error:
            collector.add_message("training", findings.NO_VECTORS, path, error.message)
            continue
        if len(vectors.rows) < FEW_VECTORS * (len(tokens) - SPECIAL_TOKENS):
            message = f"{len(vectors.rows):,} of {len(tokens):,} tokens have a vector"
            collector.add_message("training", findings.UNMATCHED_VECTORS, path, message)
        if vectors.skipped:
            message = describe_skipped(vectors.skipped)
            collector.add_message("training", findings.SKIPPED_VECTORS, path, message)


def _outcomes(config: Config) -> dict[str, str]:
    """Outcomes that depend on the config, by name of the kind of finding."""
    outcomes = {}
    if config.data.max_length_ratio is not None:
        outcomes[UNEVEN.name] = findings.LEFT_OUT
    if config.data.drop_identical:
        outcomes[IDENTICAL.name] = findings.LEFT_OUT
    return outcomes


def _training_pairs(
    config: Config,
    is_held_out: Callable[[str], bool] | None,
    lines: LineInspector,
    splits: dict[str, Split],
) -> Iterator[tuple[Split, PlacedPair]]:
    """The pairs of the training files; those that are held out are of validation."""
    for index, corpus in enumerate(config.data.train):
        for placed in lines.pairs(corpus, "training", index):
            is_out = is_held_out is not None and is_held_out(placed.pair.source)
            yield splits["validation" if is_out else "training"], placed


def _learn_tokenizers(
    config: Config,
    pairs: Callable[[], Iterator[Pair]],
    collector: Collector,
    threads: int,
) -> Tokenizers | None:
    """The tokenizers that training would learn, from the pairs that can be read."""
    seed = config.training.seed

    def read(side: str | None) -> Iterator[tuple[str, str]]:
        return sentences(pairs(), side)

    def learn_side(side: str) -> Tokenizer:
        text = (sentence for _, sentence in read(side))
        return learn(text, config.tokenizer, paths[side], side=side, seed=seed, threads=threads)

    with tempfile.TemporaryDirectory() as folder:
        paths = {side: Path(folder) / f"{side}.model" for side in ("source", "target")}
        if any(next(read(side), None) is None for side in paths):
            return None
        side = "shared"
        try:
            if config.tokenizer.shared:
                return learn_shared(read(None), config.tokenizer, paths, seed=seed, threads=threads)
            found = []
            for side in paths:
                found.append(learn_side(side))
        except DataError as error:
            place = f"tokenizer ({side})"
            collector.add_message("training", findings.NO_TOKENIZER, place, error.message)
            return None
    return Tokenizers(*found)
