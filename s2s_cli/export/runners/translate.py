"""Translates lines: `python translate.py < input.txt`. README.md names the packages that it needs."""

from __future__ import annotations

import importlib.util
import io
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece
import yaml

here = Path(__file__).resolve().parent
UNK, EOS = 1, 3  # ids of <unk> and </s>; padding is 0, <s> is 2


def load_beside(name: str, folder: Path = here) -> Any:
    """A module that stands in a folder, by its path: its name may be that of another module too."""
    spec = importlib.util.spec_from_file_location(f"s2s_{name}", folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


marks, splitting = load_beside("marks"), load_beside("splitting")


@dataclass(frozen=True)
class Part:
    """A source, or a part of one that is too long, and its translation, as ids."""

    source_ids: list[int]
    ids: list[int]


class Translator:
    """Sentences become translations."""

    def __init__(self, folder: Path = here):
        self.settings = yaml.safe_load((folder / "s2s-export.yaml").read_text(encoding="utf-8"))
        self._source, self._target = (
            sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{side}.model"))
            for side in ("source", "target")
        )
        size = self._source.get_piece_size()
        self._source_tokens = [self._source.id_to_piece(i) for i in range(size)]
        self._is_word_level = self.settings["tokenizer"] == "word"
        self.runner = load_beside("runner", folder).Runner(folder, self.settings)

    def translate(self, sentences: list[str]) -> list[str]:
        """The translation of each sentence."""
        return [self.text(parts) for parts in self.search(sentences)]

    def search(self, sentences: list[str]) -> list[list[Part]]:
        """The parts of each sentence with their translations; an empty sentence has none."""
        sources = [self._parts(sentence) for sentence in sentences]
        found = iter(self._search_in_batches([ids for parts in sources for ids in parts]))
        return [[Part(ids, next(found)) for ids in parts] for parts in sources]

    def text(self, parts: Iterable[Part]) -> str:
        """The text of a translation."""
        rows = [[i for i in part.ids if i == UNK or i > EOS] for part in parts]
        texts = (self._target.decode(row) for row in rows)
        is_word_level = self._is_word_level
        return splitting.join_texts(
            marks.after_decoding(text, is_word_level=is_word_level) for text in texts
        )

    def _parts(self, sentence: str) -> list[list[int]]:
        """The ids of a sentence, in parts that are not too long."""
        text = marks.before_encoding(sentence.strip(), is_word_level=self._is_word_level)
        size = self.settings["max_source_length"]
        parts = splitting.split_source(self._source.encode(text), self._source_tokens, size)
        is_truncated = self.settings["long_sources"] == "truncate"
        return [part for part in parts if part][: 1 if is_truncated else None]

    def _search_in_batches(self, sources: list[list[int]]) -> list[list[int]]:
        """The ids of the translation of each source; those of similar length are searched together."""
        found: list[list[int]] = [[] for _ in sources]
        order = sorted(range(len(sources)), key=lambda place: len(sources[place]))
        size = self.settings["batch_size"]
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            translated = self.runner.search([sources[place] for place in batch])
            for place, ids in zip(batch, translated, strict=True):
                found[place] = ids
        return found


def arrived_lines(stream: io.BufferedReader) -> Iterator[list[str]]:
    """The lines of UTF-8 that have arrived, as lists, without waiting for more of them."""
    rest, is_first = b"", True
    while data := stream.read1(1 << 16):
        *lines, rest = (rest + data).split(b"\n")
        if lines:
            texts = [line.decode("utf-8", "replace") for line in lines]
            yield [texts[0].removeprefix("\ufeff"), *texts[1:]] if is_first else texts
            is_first = False
    if rest:
        yield [rest.decode("utf-8", "replace")]


def main() -> None:
    """Translates stdin to stdout, a line for each line."""
    translator = Translator()
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # whatever the locale is
    for lines in arrived_lines(sys.stdin.buffer):
        for text in translator.translate(lines):
            print(" ".join(text.splitlines()))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
