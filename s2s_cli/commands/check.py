"""`s2s check`: what is wrong with the corpora of a config, and what training does about it."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

from s2s_cli.errors import DataError
from s2s_cli.schema import Config, Files
from s2s_cli.text import findings as kinds
from s2s_cli.text.corpus import Pair, is_held_out, sentences
from s2s_cli.text.filters import Limits
from s2s_cli.text.findings import Notes, Report, Split
from s2s_cli.text.inspection import Inspector, Reader, Row
from s2s_cli.text.repeats import Seen
from s2s_cli.text.tokenizer import Tokenizer, learn


def check(config: Config, test: Files | None, *, threads: int) -> Report:
    """Reads every corpus of the config, and a test set; raises nothing for what they hold."""
    data = config.data
    notes = Notes(_outcomes(config))
    tokenizers = _learned(config, notes, threads)
    splits = {name: Split(name) for name in ("training", "validation", "test")}
    inspector = Inspector(notes, Limits.of(data), tokenizers, threads, Seen(), Seen())
    inspector.inspect(_training_rows(config, _reader(config, notes), splits))
    others = [("validation", data.validation), ("test", test)]
    for name, files in others:
        if files is not None and files.paths:
            rows = _reader(config, notes).rows(files, name)
            inspector.inspect((splits[name], row) for row in rows)
    names = ["training", *(name for name, files in others if files is not None)]
    for name in names:
        if splits[name].used == 0 and not notes.has_failed(name):
            notes.tell(name, kinds.NO_PAIRS, name, "no pair is left to use")
    findings = notes.findings(names)
    return Report(
        tuple(splits[name] for name in names),
        findings,
        passes=not any(finding.fails for finding in findings),
    )


def _reader(config: Config, notes: Notes) -> Reader:
    return Reader(notes, is_word_level=config.tokenizer.type == "word")


def _outcomes(config: Config) -> dict[str, str]:
    """What this config does otherwise than the kinds of findings say."""
    outcomes = {}
    if config.data.max_length_ratio is not None:
        outcomes[kinds.RATIO.name] = kinds.LEFT_OUT
    if config.data.drop_identical:
        outcomes[kinds.SAME.name] = kinds.LEFT_OUT
    return outcomes


def _training_rows(
    config: Config, reader: Reader, splits: dict[str, Split]
) -> Iterator[tuple[Split, Row]]:
    """The rows of the training files; those that a fraction holds out are of validation."""
    fraction = config.data.validation.fraction if config.data.validation else None
    for index, corpus in enumerate(config.data.train):
        for row in reader.rows(corpus, "training", index):
            source, seed = row.pair.source, config.training.seed
            is_out = fraction is not None and is_held_out(source, seed, fraction)
            yield splits["validation" if is_out else "training"], row


def _learned(config: Config, notes: Notes, threads: int) -> tuple[Tokenizer, Tokenizer] | None:
    """The tokenizers that training would learn, from the pairs that it can read."""
    sides = ("shared",) if config.tokenizer.shared else ("source", "target")
    found = []
    for side in sides:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{side}.model"
            text = sentences(_valid_pairs(config), side)
            first = next(text, None)
            if first is None:
                return None
            text, seed = itertools.chain([first], text), config.training.seed
            try:
                found.append(learn(text, config.tokenizer, path, seed=seed, threads=threads))
            except DataError as error:
                notes.tell("training", kinds.NO_TOKENIZER, f"tokenizer ({side})", error.message)
                return None
    return found[0], found[-1]


def _valid_pairs(config: Config) -> Iterator[Pair]:
    splits = {name: Split(name) for name in ("training", "validation")}
    for split, row in _training_rows(config, _reader(config, Notes()), splits):
        if split.name == "training" and row.is_valid:
            yield row.pair
