"""What `s2s translate` reads and writes: input lines, layouts of translations, warnings."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from s2s_cli.errors import DataError, S2SError
from s2s_cli.text.lines import bare_lines, one_line, raw_lines, read_lines

if TYPE_CHECKING:
    from s2s_cli.decoding.translation import Translation


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How translations are written.

    A line a sentence: `text`, and after ` ||| ` its score and its alignment if requested. With
    `n_best`, the format of Moses, `id ||| hypothesis ||| features ||| score`. In a line of several
    fields, `|||` in a text is written as `&#124;&#124;&#124;`, as Moses escapes it. With `as_json`,
    a JSON object a sentence. An alignment is written as by Pharaoh, `i-j` for token i of the source
    and token j of the translation, counted from 0.
    """

    scores: bool = False
    alignments: bool = False
    n_best: bool = False
    as_json: bool = False

    def lines(self, number: int, found: Sequence[Translation]) -> Iterator[str]:
        """The output lines of sentence `number`, whose translations are sorted, best first."""
        if self.as_json:
            content = {"id": number, "source_tokens": found[0].source_tokens}
            content["hypotheses"] = [_as_json(translation) for translation in found]
            yield json.dumps(content, ensure_ascii=False)
            return
        for translation in found if self.n_best else found[:1]:
            yield " ||| ".join(self._fields(number, translation))

    def _fields(self, number: int, translation: Translation) -> Iterator[str]:
        text = one_line(translation.text)
        if self.n_best or self.scores or self.alignments:
            text = escaped(text)
        if self.n_best:
            yield from (str(number), text)
            yield f"log_probability= {translation.log_probability:.6f}"
        else:
            yield text
        if self.scores or self.n_best:
            yield f"{translation.score:.6f}"
        if self.alignments:
            yield " ".join(f"{i}-{j}" for i, j in translation.alignment)


def escaped(text: str) -> str:
    """A text for a line of several fields, without their separator, as Moses writes it."""
    return text.replace("|||", 3 * "&#124;")


def _as_json(translation: Translation) -> dict[str, object]:
    return {
        "text": one_line(translation.text),
        "score": translation.score,
        "log_probability": translation.log_probability,
        "tokens": translation.tokens,
        "alignment": translation.alignment,
    }


@dataclass
class InputWarnings:
    """The numbers, from 1, of the lines that could not be translated as they are, or as required."""

    not_utf8: list[int] = field(default_factory=list)
    too_long: list[int] = field(default_factory=list)
    missing_terms: list[int] = field(default_factory=list)
    with_replaced: list[int] = field(default_factory=list)

    def add(self, number: int, found: Sequence[Translation]) -> None:
        """Notes what is remarkable about the translations of line `number`."""
        for numbers, is_remarkable in (
            (self.too_long, found[0].is_long),
            (self.missing_terms, any(translation.missing_terms for translation in found)),
            (self.with_replaced, any(translation.replaced for translation in found)),
        ):
            if is_remarkable:
                numbers.append(number)

    def sentences(self, max_source_length: int | None, long_sources: str) -> Iterator[str]:
        """One sentence for each kind of warning that there is."""
        limit = f"{max_source_length} tokens" if max_source_length else "the model allows"
        handling = {"split": "translated in parts", "truncate": "cut off there"}[long_sources]
        for numbers, what in (
            (
                self.not_utf8,
                "not UTF-8; U+FFFD replaces what is not (--errors strict stops there instead)",
            ),
            (
                self.too_long,
                f"longer than {limit} and {handling} (--long-sources)",
            ),
            (
                self.missing_terms,
                "translated without all terms of the glossary, for which there is no room"
                " (--max-length)",
            ),
            (
                self.with_replaced,
                "translated with source words in the place of <unk> (--unknown)",
            ),
        ):
            if numbers:
                lines = "1 line is" if len(numbers) == 1 else f"{len(numbers):,} lines are"
                yield f"{lines} {what}; the first is line {numbers[0]:,}"


def read_sentences(
    path: str,
    texts: Sequence[str],
    errors: Literal["replace", "strict"],
    warnings: InputWarnings,
) -> Iterator[str]:
    """The lines of a file, or `texts` from the command line if there are any.

    What is not UTF-8 becomes U+FFFD, with a warning, if `errors` is `replace`. Raises DataError
    if it is `strict`.
    """
    lines = map(os.fsencode, texts) if texts else bare_lines(path)
    for number, line in enumerate(lines, start=1):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            if errors == "strict":
                place = f"text {number}" if texts else f"{path}:{number}"
                raise DataError(
                    f"{place}: this line is not UTF-8 (byte {error.start + 1}: {error.reason}).",
                    "Convert it, or let --errors replace put U+FFFD where it is not.",
                ) from None
            warnings.not_utf8.append(number)
            yield line.decode("utf-8", "replace")


def read_prefixes(path: str, sentences: int | None) -> Iterator[str]:
    """The lines of a file of prefixes, one for each sentence, whose number may not be known (None).

    Raises DataError where there are fewer or more, and for stdin, as sentences may come from there.
    """
    if path == "-":
        raise DataError("--prefix -: prefixes are read from a file, and not from stdin.")
    count = line_count(path)
    if count is not None and sentences is not None and count != sentences:
        raise unequal_prefixes(
            f"{path} has {count:,} lines, and there are {sentences:,} sentences."
        )
    return read_lines(path)


def unequal_prefixes(what: str) -> DataError:
    """The error of a file of prefixes that has fewer or more lines than there are sentences."""
    return DataError(
        f"--prefix: {what}", "Write a line for each sentence; an empty one demands nothing."
    )


def line_count(path: str) -> int | None:
    """The number of lines of a file; None for what cannot be read twice."""
    return sum(1 for _ in raw_lines(path)) if Path(path).is_file() else None


def require_folder(output_file: str) -> None:
    """Raises S2SError where the folder of the output is missing, before anything is translated."""
    folder = Path(os.path.realpath(output_file)).parent
    if output_file != "-" and not folder.is_dir():
        raise S2SError(
            f"{folder}: there is no such folder, so {output_file} cannot be written.",
            "Make the folder, or name another file with --output.",
        )
