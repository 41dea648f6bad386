"""Test sets, and the translations of them that files hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from s2s_cli.errors import DataError, S2SError
from s2s_cli.evaluation.records import is_record, read_record
from s2s_cli.text.formats.parallel import unequal_lengths
from s2s_cli.text.lines import one_line, read_lines

if TYPE_CHECKING:
    from s2s_cli.config.schema import Decoding
    from s2s_cli.decoding.translation import Translation
    from s2s_cli.decoding.translator import Translator


@dataclass(frozen=True)
class EvaluationSet:
    """The sentences of a test set, in order.

    `sources` is None where there is no file of them; `references` holds a list of sentences for
    each reference.
    """

    sources: list[str] | None
    references: list[list[str]]

    def __len__(self) -> int:
        return len(self.references[0])


def read_test_set(source: str | None, references: Sequence[str]) -> EvaluationSet:
    """Reads parallel files with a sentence a line.

    Raises DataError where they are not parallel, or empty.
    """
    paths = [*([source] if source is not None else []), *references]
    columns = [list(read_lines(path)) for path in paths]
    for (path, lines), (other, other_lines) in pairwise(zip(paths, columns, strict=True)):
        require_parallel(path, len(lines), other, len(other_lines))
    if not columns[0]:
        raise DataError(f"{paths[0]}: the file is empty.")
    if source is None:
        return EvaluationSet(None, columns)
    return EvaluationSet(columns[0], columns[1:])


def require_parallel(path: str, lines: int, other: str, other_lines: int) -> None:
    """Raises DataError for two files with different numbers of lines."""
    if lines != other_lines:
        raise unequal_lengths(path, lines, other, other_lines)


@dataclass(frozen=True)
class TranslatedFile:
    """The translations in a file, and their sources where the file is a record of a run."""

    path: str
    texts: list[str]
    sources: list[str] | None = None

    def require_translations_of(self, test_set: EvaluationSet, reference: str) -> None:
        """Raises DataError where these are no translations of a test set, whose first file of
        references is `reference`."""
        require_parallel(self.path, len(self.texts), reference, len(test_set))
        for number, (own, source) in enumerate(
            zip(self.sources or (), test_set.sources or (), strict=False), start=1
        ):
            if own.strip() != source.strip():
                raise DataError(
                    f"{self.path}: this record has another source than the test set in line"
                    f" {number}: {own!r}, not {source!r}.",
                    "Give the files that the record was made with.",
                )


def read_translations(path: str) -> TranslatedFile:
    """Reads a file with a translation a line, or a record of a run; `-` is stdin.

    Raises DataError or RunError for what cannot be read.
    """
    if not is_record(Path(path)):
        return TranslatedFile(path, list(read_lines(path)))
    sentences = list(read_record(Path(path))[1])
    return TranslatedFile(
        path,
        [sentence["translation"] for sentence in sentences],
        [sentence["source"] for sentence in sentences],
    )


@dataclass(frozen=True)
class Translated:
    """A translation a line; and what a run found, and how it searched, where a run translated."""

    texts: list[str]
    found: Sequence[Translation] = ()
    decoding: Decoding | None = None


def translate_all(
    translator: Translator, sources: Sequence[str], on_batch: Callable[[int], None]
) -> Translated:
    """The best translation of each source. Raises S2SError where memory is too short."""
    try:
        found = translator.translate(sources, on_batch)
    except MemoryError:
        raise S2SError(
            f"memory is too short to translate {translator.decoding.batch_size} sentences at once.",
            "Lower --batch-size or --beam-size.",
        ) from None
    texts = [one_line(translation.text) for translation in found]
    return Translated(texts, found, translator.decoding)
