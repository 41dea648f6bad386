"""`s2s init`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from s2s_cli.cli import console, options
from s2s_cli.config.schema import FAMILIES, Files
from s2s_cli.errors import S2SError

ARCHITECTURES = tuple(name for family in FAMILIES for name in family.architectures())


@options.with_section_options(
    Files, "A corpus in one FILE", only=("format", "columns", "fields", "languages", "weight")
)
def init(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="File with one source sentence a line; or one file of pairs as TSV, CSV, JSON Lines,"
            " TMX or Parquet.",
        ),
    ],
    target: Annotated[
        str | None,
        typer.Argument(metavar="TARGET", help="File with the translation of each line."),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Config to write.")] = Path(
        "s2s.yaml"
    ),
    architecture: Annotated[
        str,
        typer.Option(
            metavar=f"<{'|'.join(ARCHITECTURES)}>",
            help="Kind of model.",
            autocompletion=lambda: list(ARCHITECTURES),
        ),
    ] = ARCHITECTURES[0],
    overrides: Any = None,
) -> None:
    """Write a commented starter config for a corpus: a pair of files, or one file."""
    from s2s_cli.config.load import files_from_options
    from s2s_cli.config.starter import starter_config, what_to_expect
    from s2s_cli.files import write_text

    if architecture not in ARCHITECTURES:
        raise S2SError(
            f"--architecture is {architecture!r}; it must be one of {', '.join(ARCHITECTURES)}."
        )
    if output.exists():
        raise S2SError(f"{output}: there is a file already.", "Name another with --output.")
    corpus = {"path": source} if target is None else {"source": source, "target": target}
    pairs = _count_pairs(files_from_options({**corpus, **overrides}))
    folder = output.resolve().parent
    paths = {key: _relative(path, folder) for key, path in corpus.items()}
    write_text(output, starter_config({**paths, **overrides}, pairs, architecture))
    expectation = what_to_expect(pairs)
    if expectation is not None:
        console.say(expectation)
    console.say(f"wrote {output}. Next:")
    console.next_commands(["s2s", "train", str(output)])


def _count_pairs(files: Files) -> int:
    """The number of rows with text. Raises DataError for what cannot be read."""
    from s2s_cli.text.corpus import read_pairs, total_bytes
    from s2s_cli.text.lines import Reading

    reading, count = Reading(), 0
    with console.Meter(f"reading {files.paths[0]}", total_bytes([files]), "B") as meter:
        for count, _ in enumerate(read_pairs(files, 0, reading), start=1):
            if count % 10_000 == 0:
                meter.move_to(reading.done)
    for path, how in reading.read_as.items():
        console.say(f"{path} is read as {how}")
    return count


def _relative(path: str, folder: Path) -> str:
    """A path relative to the folder of the config."""
    try:
        return os.path.relpath(path, folder)
    except ValueError:  # on another drive of Windows
        return os.path.abspath(path)
