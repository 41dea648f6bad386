"""What the saved config of a run holds beside the settings: format, choices, fingerprints."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from s2s_cli.config.schema.section import Section

RUN_FORMAT = 3
"""Number of the format of run directories that this version writes and reads."""


class FileFingerprint(Section):
    """A file as it was when training began."""

    key: str
    """Dotted name of the setting that names the file."""
    path: str
    """Absolute path of the file when training began."""
    sha256: str
    """SHA-256 of the content."""


class Resolved(Section):
    """What the program chose and recorded. It writes this section; people do not."""

    requested: dict[str, Any] = Field(default_factory=dict)
    """What was configured, by dotted key, where the program chose the value: "auto" or null."""
    files: list[FileFingerprint]
    """The corpora, word vectors and weights to begin with, with a fingerprint of their content."""
    versions: dict[str, str]
    """Versions of the packages that results may depend on."""
    held_out_below: int | None = None
    """Where training pairs are held out: those of the sources with a smaller hash."""
    plan_version: int
    """Number of the algorithm that plans the batches of an epoch."""
    forced: list[str] = Field(default_factory=list)
    """Changes that were made with --force, and the step from which each holds."""
