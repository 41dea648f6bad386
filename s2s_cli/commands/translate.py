"""`s2s translate`: what goes out for every line in, in order."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from s2s_cli.decoding.translator import Translation, Translator

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


def translate_lines(
    translator: Translator,
    lines: Iterable[str],
    layout: Layout,
    *,
    chunk: int = CHUNK,
    on_batch: Callable[[int], None] = lambda count: None,
) -> Iterator[str]:
    """What is written for each line; lines are read `chunk` at a time."""
    lines, numbers = iter(lines), itertools.count()
    while sentences := list(itertools.islice(lines, chunk)):
        for found in translator.n_best(sentences, on_batch):
            yield from layout.lines(next(numbers), found)


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
