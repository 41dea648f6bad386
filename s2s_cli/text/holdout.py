"""Which of the training pairs are held out for validation."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from s2s_cli.config.schema import Config, ResolvedConfig
from s2s_cli.text.corpus import hash_text, read_pairs
from s2s_cli.text.tokenizer import normalizer

HASHES = 2**64  # numbers that a hash may be


def held_out(config: Config) -> Callable[[str], bool] | None:
    """Whether the pairs of a source sentence are held out; None where none are.

    That depends on a hash of the seed and the source as the tokenizer normalizes it, so that no source
    is on both sides, also if it differs in case, width or spaces.
    """
    limit = held_out_below(config)
    if limit is None:
        return None
    hash_of = _source_hash(config)
    return lambda source: hash_of(source) < limit


def held_out_below(config: Config) -> int | None:
    """Sources with a smaller hash are held out; None where none are. Raises CorpusError.

    For `validation.pairs`, they are the sources with the smallest hashes, which takes reading the
    corpora; a run has recorded it.
    """
    validation = config.data.validation
    if validation is None or (validation.fraction is None and validation.pairs is None):
        return None
    if validation.fraction is not None:
        return int(validation.fraction * HASHES)
    if isinstance(config, ResolvedConfig) and config.resolved.held_out_below is not None:
        return config.resolved.held_out_below
    hash_of = _source_hash(config)
    hashes = (
        hash_of(pair.source)
        for corpus in config.data.train
        for pair in read_pairs(corpus, skip_problems=True)
    )
    assert validation.pairs is not None
    smallest = heapq.nsmallest(validation.pairs, hashes)
    return smallest[-1] + 1 if smallest else 0


def _source_hash(config: Config) -> Callable[[str], int]:
    normalize, seed = normalizer(config.tokenizer, "source"), config.training.seed
    return lambda source: hash_text(seed, normalize(source))
