"""The sentences that a corpus is made of: the lines of a file, or the sources that a run trained on."""

from __future__ import annotations

import os
from collections.abc import Iterator

from s2s_cli.config.schema import FileFingerprint, ResolvedConfig
from s2s_cli.text.corpus import training_pairs
from s2s_cli.text.holdout import held_out
from s2s_cli.text.lines import fingerprint, read_lines


def file_sentences(path: str) -> tuple[Iterator[str], list[FileFingerprint]]:
    """The lines of a file, and the file as it is. Raises DataError."""
    file = FileFingerprint(key="input", path=os.path.abspath(path), sha256=fingerprint(path))
    return read_lines(path), [file]


def training_sources(config: ResolvedConfig) -> tuple[Iterator[str], list[FileFingerprint]]:
    """The sources that a run trained on, without held-out ones, and their files as they are now.

    Raises DataError.
    """
    names = [
        (f"data.train.{index}", path)
        for index, corpus in enumerate(config.data.train)
        for path in corpus.paths
    ]
    files = [FileFingerprint(key=key, path=path, sha256=fingerprint(path)) for key, path in names]
    pairs = training_pairs(config.data, held_out(config))
    return (pair.source for pair in pairs), files
