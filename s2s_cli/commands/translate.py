"""`s2s translate`: a line out for every line in, in order."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

from s2s_cli.decoding.translator import Translator

# Lines that are sorted and translated together: enough to fill batches with
# sentences of one length, few enough to show the first of them soon.
CHUNK = 4096


def translate_lines(
    translator: Translator,
    lines: Iterable[str],
    *,
    chunk: int = CHUNK,
    on_batch: Callable[[int], None] = lambda count: None,
) -> Iterator[str]:
    """The translation of each line; lines are read `chunk` at a time."""
    lines = iter(lines)
    while sentences := list(itertools.islice(lines, chunk)):
        for translation in translator.translate(sentences, on_batch):
            yield " ".join(translation.text.splitlines())
