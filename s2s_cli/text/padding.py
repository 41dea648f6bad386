"""The one place where `<s>`, `</s>` and padding are added to token ids."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2s_cli.text.tokenizer import BOS, EOS, PAD


@dataclass(frozen=True)
class FlatRows:
    """Rows of unequal length one behind the other: `values` (sum of lengths,), `lengths` (rows,)."""

    values: NDArray[np.integer]
    lengths: NDArray[np.integer]


Rows = FlatRows | Sequence[Sequence[int]]


def padded(
    rows: Rows, *, before: Sequence[int] = (), after: Sequence[int] = ()
) -> NDArray[np.int32]:
    """Each row between the ids `before` and `after`, padded on the right: int32 (rows, longest)."""
    flat = rows if isinstance(rows, FlatRows) else _flat(rows)
    lengths = flat.lengths.astype(np.int64)
    width = int(lengths.max(initial=0))
    ids = np.full((len(lengths), len(before) + width + len(after)), PAD, np.int32)
    ids[:, : len(before)] = before
    body = ids[:, len(before) : len(before) + width]
    body[np.arange(width) < lengths[:, None]] = flat.values
    for position, token in enumerate(after):
        ids[np.arange(len(lengths)), len(before) + lengths + position] = token
    return ids


def source_ids(sentences: Rows) -> NDArray[np.int32]:
    """What the encoder reads: each sentence and `</s>`, (B,S)."""
    return padded(sentences, after=(EOS,))


def target_in_ids(sentences: Rows) -> NDArray[np.int32]:
    """What the decoder reads in training: `<s>` and each sentence, (B,T)."""
    return padded(sentences, before=(BOS,))


def target_out_ids(sentences: Rows) -> NDArray[np.int32]:
    """What the decoder is to predict: each sentence and `</s>`, (B,T)."""
    return padded(sentences, after=(EOS,))


def _flat(rows: Sequence[Sequence[int]]) -> FlatRows:
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    values = np.fromiter(itertools.chain.from_iterable(rows), np.int32, int(lengths.sum()))
    return FlatRows(values, lengths)
