"""`s2s merge`."""

from __future__ import annotations

from typing import Annotated

import typer

from s2s_cli.cli import console


def merge(
    output_file: Annotated[
        str, typer.Argument(metavar="OUTPUT", help="The --output of the shards.")
    ],
) -> None:
    """Join the translations of all shards of a file, in order."""
    from s2s_cli.cli.translate_blocks import join
    from s2s_cli.cluster.blocks import Parts

    parts = Parts.of(output_file)
    join(parts)
    console.say(f"{output_file}: {parts.lines:,} lines from {parts.count:,} parts")
