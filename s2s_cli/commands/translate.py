"""`s2s translate`: what goes out for every line in, in order."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from s2s_cli.decoding.translation import Translation
from s2s_cli.decoding.translator import Translator
from s2s_cli.errors import ConfigError, DataError, S2SError
from s2s_cli.text.corpus import bare_lines, raw_lines

# Lines that are sorted and translated together: enough to fill batches with
# sentences of one length, few enough to show the first of them soon.
CHUNK = 4096


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How translations are written.

    A line a sentence, `text`, and behind ` ||| ` its score and its alignment where
    they are asked for; or, with `n_best`, Moses's list, `number ||| text ||| features
    ||| score`; or a JSON object a sentence. An alignment is Pharaoh's `i-j`, piece i of
    the source and piece j of the translation, from 0.
    """

    scores: bool = False
    alignments: bool = False
    n_best: bool = False
    as_json: bool = False

    def lines(self, number: int, found: Sequence[Translation]) -> Iterator[str]:
        """What is written for sentence `number`, whose hypotheses stand best first."""
        if self.as_json:
            said = {"id": number, "source_tokens": found[0].source_tokens}
            said["hypotheses"] = [_as_json(translation) for translation in found]
            yield json.dumps(said, ensure_ascii=False)
            return
        for translation in found if self.n_best else found[:1]:
            yield " ||| ".join(self._fields(number, translation))

    def _fields(self, number: int, translation: Translation) -> Iterator[str]:
        text = one_line(translation.text)
        if self.n_best:
            yield from (str(number), text)
            yield f"log_probability= {translation.log_probability:.6f}"
        else:
            yield text
        if self.scores or self.n_best:
            yield f"{translation.score:.6f}"
        if self.alignments:
            yield " ".join(f"{i}-{j}" for i, j in translation.alignment)


@dataclass
class Oddities:
    """The numbers of the lines, from 1, that could not be taken as they are."""

    not_utf8: list[int] = field(default_factory=list)
    too_long: list[int] = field(default_factory=list)


def read_sentences(
    path: str, texts: Sequence[str], errors: str, oddities: Oddities
) -> Iterator[str]:
    """The lines of a file, or `texts` from the command line where there are some.

    What is not UTF-8 becomes U+FFFD where `errors` is `replace`, and is noted. Raises
    DataError where it is `strict`.
    """
    if errors not in ("replace", "strict"):
        raise ConfigError(f"--errors is {errors!r}; choose from replace, strict.")
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
            oddities.not_utf8.append(number)
            yield line.decode("utf-8", "replace")


def line_count(path: str) -> int | None:
    """How many lines a file has; None for what cannot be read twice."""
    return sum(1 for _ in raw_lines(path)) if Path(path).is_file() else None


def translate_lines(
    translator: Translator,
    lines: Iterable[str],
    layout: Layout,
    oddities: Oddities,
    *,
    chunk: int = CHUNK,
    on_batch: Callable[[int], None] = lambda count: None,
) -> Iterator[str]:
    """What is written for each line; lines are read `chunk` at a time.

    Sources that are too long are noted in `oddities`. Raises S2SError where memory is short.
    """
    lines, numbers = iter(lines), itertools.count()
    while sentences := list(itertools.islice(lines, chunk)):
        try:
            translations = translator.n_best(sentences, on_batch)
        except MemoryError:
            raise S2SError(
                f"memory is too short to translate {translator.decoding.batch_size} sentences at"
                f" once, each of up to {translator.decoding.max_source_length} pieces.",
                "Lower --batch-size, --beam-size or --max-source-length.",
            ) from None
        for found in translations:
            number = next(numbers)
            if found[0].is_long:
                oddities.too_long.append(number + 1)
            yield from layout.lines(number, found)


def write_lines(lines: Iterable[str], file: TextIO, *, at_once: bool) -> None:
    """Writes lines; `at_once` where somebody waits for each."""
    for line in lines:
        file.write(line + "\n")
        if at_once:
            file.flush()


def one_line(text: str) -> str:
    """Text without the line breaks that a piece may hold."""
    return " ".join(text.splitlines())


def _as_json(translation: Translation) -> dict[str, object]:
    return {
        "text": one_line(translation.text),
        "score": translation.score,
        "log_probability": translation.log_probability,
        "tokens": translation.tokens,
        "alignment": translation.alignment,
    }
