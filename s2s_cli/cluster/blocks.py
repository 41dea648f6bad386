"""A file that is translated in blocks: numbered ranges of its lines, whose translations are parts on
disk that are joined in order.

A part that is finished stays finished, so what was interrupted goes on where it stopped, whichever
processes take part then.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from s2s_cli.errors import S2SError
from s2s_cli.files import output, write_bytes, write_text
from s2s_cli.text.chunks import chunks

# A file has at least so many blocks, unless these would be very small, and at most so many lines
# has a block. They follow from the number of lines alone, so that all processes agree on them.
MIN_BLOCKS, MIN_LINES, MAX_LINES = 64, 32, 4096

# The numbers of lines, from 1, for each kind of warning.
Notes = dict[str, list[int]]


@dataclass(frozen=True)
class Block:
    """Sentences `first`, `first` + 1, … of a file, counted from 0, and their prefixes, if there are."""

    number: int
    first: int
    sentences: list[str]
    prefixes: list[str] | None = None
    notes: Mapping[str, list[int]] | None = None
    """What was remarkable when they were read."""


@dataclass(frozen=True)
class Parts:
    """The parts of one translation, beside its output.

    `made_from` identifies by names for people all that the translation follows from; `lines` is the
    number of sentences; `settings` are some for the messages of whoever joins the parts.
    """

    output: str
    made_from: dict[str, str]
    lines: int
    settings: dict[str, Any]

    @property
    def folder(self) -> Path:
        """Where the parts are."""
        return _folder_of(self.output)

    @property
    def block_lines(self) -> int:
        """Lines of a block; the last may have fewer."""
        return min(MAX_LINES, max(MIN_LINES, -(-self.lines // MIN_BLOCKS)))

    @property
    def count(self) -> int:
        """Number of blocks."""
        return -(-self.lines // self.block_lines)

    @classmethod
    def of(cls, output_file: str) -> Parts:
        """The parts that were begun for an output. Raises S2SError where there are none."""
        description = _folder_of(output_file) / "parts.json"
        try:
            found = json.loads(description.read_text(encoding="utf-8"))
            made_from, settings = dict(found["made_from"]), dict(found["settings"])
            return cls(output_file, made_from, int(found["lines"]), settings)
        except FileNotFoundError:
            raise S2SError(
                f"{description.parent}: there are no parts of {output_file} to join.",
                "Name the output of `s2s translate … -o FILE --shard I/N`.",
            ) from None
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise S2SError(
                f"{description}: it cannot be read: {error}.",
                f"Remove {description.parent}, and translate again.",
            ) from None

    def begin(self) -> None:
        """Makes the folder; parts that are there already must be of the same translation.

        Raises S2SError where they are not.
        """
        description = self.folder / "parts.json"
        if description.is_file():
            before = Parts.of(self.output)
            for name, value in {**self.made_from, "lines": str(self.lines)}.items():
                known = {**before.made_from, "lines": str(before.lines)}.get(name)
                if known != value:
                    raise S2SError(
                        f"{self.folder} has parts of another translation: its {name} was {known},"
                        f" and is {value} now.",
                        f"Remove {self.folder} to begin anew, or name another --output.",
                    )
        else:
            content = {key: value for key, value in asdict(self).items() if key != "output"}
            write_text(description, json.dumps(content, ensure_ascii=False) + "\n")

    def finished(self) -> set[int]:
        """The numbers of the blocks whose parts are there."""
        return {int(path.stem) for path in self.folder.glob("*.done") if path.stem.isdecimal()}

    def blocks(
        self, sentences: Iterable[str], prefixes: Iterator[str] | None, notes: Notes
    ) -> Iterator[Block]:
        """All blocks; `notes` is emptied into each, as reading its sentences may have filled it."""
        for number, some in enumerate(chunks(sentences, self.block_lines)):
            begin = None if prefixes is None else [next(prefixes, "") for _ in some]
            found = {name: list(lines) for name, lines in notes.items()}
            for lines in notes.values():
                lines.clear()
            yield Block(number, number * self.block_lines, some, begin, found)

    def write(self, block: Block, lines: list[str], notes: Mapping[str, list[int]]) -> None:
        """Writes the part of a block, whole or not at all. Raises OSError."""
        content = "".join(f"{line}\n" for line in lines).encode()
        write_bytes(self._part(block.number), content)
        done = {
            "sentences": len(block.sentences),
            "sha256": hashlib.sha256(content).hexdigest(),
            "notes": {
                name: [*(block.notes or {}).get(name, []), *notes.get(name, [])]
                for name in {*(block.notes or {}), *notes}
            },
        }
        write_text(self._done(block.number), json.dumps(done) + "\n")

    def join(self) -> Notes:
        """Writes the output from all parts, in order, and removes them; returns the notes of all.

        Raises S2SError where a part is missing or damaged.
        """
        missing = sorted(set(range(self.count)) - self.finished())
        if missing:
            shown = ", ".join(map(str, missing[:10])) + (" …" if len(missing) > 10 else "")
            raise S2SError(
                f"{self.folder}: {len(missing):,} of {self.count:,} parts are missing: {shown}.",
                "Run the shards that did not end again, each with the same command.",
            )
        notes: Notes = {}
        with output(self.output) as file:
            for number in range(self.count):
                content, done = self._read(number)
                file.write(content)
                for name, lines in done["notes"].items():
                    notes.setdefault(name, []).extend(lines)
        shutil.rmtree(self.folder)
        return notes

    def _read(self, number: int) -> tuple[str, dict[str, Any]]:
        """A part and what is known of it; one that is damaged is removed."""
        try:
            content = self._part(number).read_bytes()
            done = json.loads(self._done(number).read_text(encoding="utf-8"))
            is_whole = done["sha256"] == hashlib.sha256(content).hexdigest()
            lines = range(number * self.block_lines, self.lines)[: self.block_lines]
            if is_whole and done["sentences"] == len(lines):
                return content.decode(), done
        except (OSError, ValueError, LookupError, TypeError):
            pass
        self._done(number).unlink(missing_ok=True)
        raise S2SError(
            f"{self._part(number)}: this part is damaged, and counts as missing now.",
            "Translate again with the same command, which makes what is missing.",
        )

    def _part(self, number: int) -> Path:
        return self.folder / f"{number:08d}.txt"

    def _done(self, number: int) -> Path:
        return self.folder / f"{number:08d}.done"


def _folder_of(output_file: str) -> Path:
    return Path(f"{output_file}.parts")


@dataclass(frozen=True)
class Shard:
    """Shard `number` of `count`, from 1: every `count`-th block."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """A shard as it is written, `I/N`. Raises S2SError."""
        number, slash, count = text.partition("/")
        if slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
            return cls(int(number), int(count))
        raise S2SError(
            f"--shard is {text!r}; it must be I/N, such as 2/8 for the second of eight shards.",
            "In a job array, write its numbers from 1 to N.",
        )

    def has(self, block: int) -> bool:
        """Whether a block belongs to this shard."""
        return block % self.count == self.number - 1
