"""`s2s verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from s2s_cli.cli import console


def verify(
    artefact: Annotated[
        Path, typer.Argument(metavar="ARTEFACT", help="Folder that `s2s export` has written.")
    ],
) -> None:
    """Check that an export is undamaged and translates here as it did when it was made.

    This runs the program translate.py in it."""
    from s2s_cli.export.verify import verify

    found = verify(artefact)
    for sentence in found.versions:
        console.warn(f"made with {sentence}")
    console.say(
        f"all {found.sentences} sentences are translated as when this {found.export_format} export was"
        " made"
    )
    if found.ties:
        console.say(
            f"{found.ties} of them differed from the run's then; proof.json says by how much"
        )
    console.say(f"{artefact} is undamaged", fg="green")
