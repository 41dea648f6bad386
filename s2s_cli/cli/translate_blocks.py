"""`s2s translate` of a large file: in blocks, by several processes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from s2s_cli.cli import console
from s2s_cli.cli.process import start_tensorflow
from s2s_cli.config.schema import Decoding
from s2s_cli.errors import ConfigError

if TYPE_CHECKING:
    from s2s_cli.cli.output import Layout
    from s2s_cli.cluster.blocks import Block, Parts, Shard


@dataclass(frozen=True)
class BlockTranslation:
    """All that a process needs to translate blocks; it can be sent to another machine that shares the
    files."""

    runs: tuple[str, ...]
    checkpoint: str
    decoding: Decoding
    layout: Layout
    glossary: str | None
    threads: int | None

    def __call__(self) -> Callable[[Block], tuple[list[str], Mapping[str, list[int]]]]:
        """Loads the translator; returns the function that translates a block."""
        start_tensorflow(self.threads)
        from s2s_cli.cli.output import InputWarnings
        from s2s_cli.cli.translate import translated_lines
        from s2s_cli.decoding.translator import Translator
        from s2s_cli.runs.run import Run
        from s2s_cli.text.glossary import read_glossary

        runs = [Run(Path(run)) for run in self.runs]
        translator = Translator.from_runs(runs, self.checkpoint, self.decoding)
        terms = None if self.glossary is None else translator.glossary(read_glossary(self.glossary))

        def translate(block: Block) -> tuple[list[str], Mapping[str, list[int]]]:
            warnings = InputWarnings()
            prefixes = None if block.prefixes is None else iter(block.prefixes)
            lines = translated_lines(
                translator,
                [block.sentences],
                self.layout,
                warnings,
                first=block.first,
                prefixes=prefixes,
                glossary=terms,
            )
            return [line for some in lines for line in some], asdict(warnings)

        return translate

    def made_from(self, input_file: str, prefix: str | None) -> dict[str, str]:
        """What the translation follows from, by names for people."""
        from s2s_cli.runs.run import Run
        from s2s_cli.text.lines import fingerprint

        checkpoints = [Run(Path(run)).find_checkpoint(self.checkpoint) for run in self.runs]
        files = {"prefixes": prefix, "glossary": self.glossary}
        settings = [self.decoding.model_dump(mode="json"), asdict(self.layout)]
        return {
            "input": fingerprint(input_file),
            **{name: fingerprint(path) for name, path in files.items() if path is not None},
            "checkpoint": " ".join(
                f"{path.name} {_digest((path / 'checksums.json').read_text())}"
                for path in checkpoints
            ),
            "settings": _digest(json.dumps(settings, sort_keys=True)),
        }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class FileTranslation:
    """A file, what it is translated to, and how it is read."""

    input_file: str
    output_file: str
    prefix: str | None
    is_strict: bool

    def require_files(self, option: str) -> None:
        """Raises ConfigError where input or output is no file."""
        if self.output_file == "-" or not Path(self.input_file).is_file():
            raise ConfigError(
                f"{option} translates a file into a file.",
                "Name them with --input and --output.",
            )

    def begin(self, translation: BlockTranslation) -> Parts:
        """The parts of the output, those of an earlier attempt included."""
        from s2s_cli.cli.output import line_count
        from s2s_cli.cluster.blocks import Parts

        parts = Parts(
            str(Path(self.output_file).resolve()),
            translation.made_from(self.input_file, self.prefix),
            line_count(self.input_file) or 0,
            translation.decoding.model_dump(include={"max_source_length", "long_sources"}),
        )
        parts.begin()
        return parts

    def blocks(self, parts: Parts) -> Iterator[Block]:
        """All blocks of the file."""
        from s2s_cli.cli.output import InputWarnings, read_prefixes, read_sentences

        warnings = InputWarnings()
        sentences = read_sentences(
            self.input_file, (), "strict" if self.is_strict else "replace", warnings
        )
        prefixes = None if self.prefix is None else read_prefixes(self.prefix, parts.lines)
        return parts.blocks(sentences, prefixes, {"not_utf8": warnings.not_utf8})


def translate_shard(file: FileTranslation, translation: BlockTranslation, shard: Shard) -> None:
    """Translates the blocks of a shard that are not finished."""
    file.require_files("--shard")
    parts = file.begin(translation)
    finished, translate = parts.finished(), None
    own = [number for number in range(parts.count) if shard.has(number)]
    size = parts.block_lines
    total = sum(min(size, parts.lines - number * size) for number in own)
    with console.Meter(f"shard {shard.number}/{shard.count}", total, "line") as meter:
        for block in file.blocks(parts):
            if not shard.has(block.number):
                continue
            if block.number not in finished:
                translate = translate or translation()
                parts.write(block, *translate(block))
            meter.add(len(block.sentences))
    console.say(
        f"shard {shard.number} of {shard.count} is translated ({total:,} lines). When all are:"
    )
    console.next_commands(["s2s", "merge", file.output_file])


def translate_with_workers(
    file: FileTranslation,
    translation: BlockTranslation,
    *,
    workers: int,
    address: str | None,
    threads: int,
) -> None:
    """Translates the blocks that are not finished on Ray actors, and joins all."""
    from s2s_cli.cluster.ray_session import ray_session
    from s2s_cli.cluster.ray_translation import translate_with_ray

    file.require_files("--workers")
    parts = file.begin(translation)
    finished = parts.finished()
    with (
        ray_session(address, workers * threads) as ray,
        console.Meter("translating", parts.lines, "line") as meter,
    ):

        def unfinished() -> Iterator[Block]:
            for block in file.blocks(parts):
                if block.number in finished:
                    meter.add(len(block.sentences))
                else:
                    yield block

        translate_with_ray(
            ray,
            translation,
            parts,
            unfinished(),
            actors=workers,
            threads=threads,
            on_done=meter.add,
        )
    join(parts)


def join(parts: Parts) -> None:
    """Writes the output; warns of what is remarkable about its lines."""
    from s2s_cli.cli.output import InputWarnings

    warnings = InputWarnings(**{name: sorted(lines) for name, lines in parts.join().items()})
    for sentence in warnings.sentences(**parts.settings):
        console.warn(sentence)
