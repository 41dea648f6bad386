"""`s2s init`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from s2s_cli.cli import console
from s2s_cli.config.schema import FAMILIES
from s2s_cli.errors import S2SError

ARCHITECTURES = tuple(name for family in FAMILIES for name in family.architectures())


def init(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="File with one source sentence a line.")
    ],
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="File with the translation of each line.")
    ],
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
) -> None:
    """Write a commented starter config for a pair of files."""
    from s2s_cli.config.starter import starter_config, what_to_expect
    from s2s_cli.files import write_text

    if architecture not in ARCHITECTURES:
        raise S2SError(
            f"--architecture is {architecture!r}; it must be one of {', '.join(ARCHITECTURES)}."
        )
    if output.exists():
        raise S2SError(f"{output}: there is a file already.", "Name another with --output.")
    pairs = _count_pairs(source, target)
    folder = output.resolve().parent
    files = (_relative(source, folder), _relative(target, folder))
    write_text(output, starter_config(*files, pairs, architecture))
    expectation = what_to_expect(pairs)
    if expectation is not None:
        console.say(expectation)
    console.say(f"wrote {output}. Next:")
    console.next_commands(["s2s", "train", str(output)])


def _count_pairs(source: str, target: str) -> int:
    """The number of lines that both files have. Raises DataError where they are not parallel."""
    from s2s_cli.text.formats.parallel import unequal_lengths
    from s2s_cli.text.lines import read_lines

    counts = []
    for path in (source, target):
        with console.Meter(f"reading {path}", None, "line") as meter:
            count = 0
            for count, _ in enumerate(read_lines(path), start=1):
                if count % 10_000 == 0:
                    meter.move_to(count)
        counts.append(count)
    if counts[0] != counts[1]:
        raise unequal_lengths(source, counts[0], target, counts[1])
    if not counts[0]:
        raise S2SError(f"{source}: the file is empty.", "Give two parallel files.")
    return counts[0]


def _relative(path: str, folder: Path) -> str:
    """A path relative to the folder of the config."""
    try:
        return os.path.relpath(path, folder)
    except ValueError:  # on another drive of Windows
        return os.path.abspath(path)
