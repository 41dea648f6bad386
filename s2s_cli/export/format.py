"""What an export format provides, and which settings of a search it follows."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from s2s_cli.config.schema import Decoding, ResolvedConfig
from s2s_cli.config.schema.section import shown
from s2s_cli.errors import ExportError, pip_install_hint

if TYPE_CHECKING:
    from s2s_cli.model.seq2seq import Seq2Seq

# Settings of `decoding` that a format follows or refuses.
SEARCH_SETTINGS = (
    "beam_size", "length_penalty", "min_length", "unknown", "no_repeat_ngram_size",
    "coverage_penalty", "diversity", "sampling",
)  # fmt: skip
# Settings that translate.py and the runners follow, whatever the format is.
PROGRAM_SETTINGS = (
    "max_length", "max_length_ratio", "max_source_length", "long_sources", "batch_size",
)  # fmt: skip


class Format(Protocol):
    """A format of exports: one module, one object of this kind, and the runner that it ships."""

    @property
    def name(self) -> str:
        """As after `--format`."""

    @property
    def packages(self) -> Sequence[str]:
        """Distributions that the runner needs beside those of translate.py."""

    @property
    def writer_packages(self) -> Sequence[str]:
        """Distributions that only writing needs."""

    @property
    def extra(self) -> str | None:
        """The extra of this package that installs both; None: they come with it."""

    @property
    def runner(self) -> str:
        """File of `s2s_cli.export.runners` that is shipped as runner.py.

        It has a class Runner, made from the artefact's folder and its settings, with search(source ids
        of N sentences) → ids of their best translations, with `</s>` where it was reached.
        """

    @property
    def follows(self) -> Collection[str]:
        """Those of SEARCH_SETTINGS that its search follows; of `unknown`, the value `suppress`."""

    @property
    def precisions(self) -> Sequence[str]:
        """What weights may be written as; float32 is the first."""

    @property
    def has_same_beam(self) -> bool:
        """Whether a beam gives the translations of the run; greedy search does in every format."""

    def refuse(self, config: ResolvedConfig) -> str | None:
        """A sentence that says why a run cannot be written, None where it can."""

    def write(
        self, folder: Path, seq2seq: Seq2Seq, config: ResolvedConfig, precision: str
    ) -> Sequence[str]:
        """Writes the model to a folder, in which the tokenizers are; returns a sentence for each
        thing that is left out."""


def require_possible(export_format: Format, config: ResolvedConfig) -> None:
    """Raises ExportError that says why a run cannot be written in a format."""
    if reason := export_format.refuse(config):
        raise ExportError(
            f"Format {export_format.name} is not possible: {reason} Nothing was written.",
            "Choose another format; `s2s export --help` lists them.",
        )


def require_installed(export_format: Format) -> None:
    """Raises ExportError that names the packages which a format needs and which are not there."""
    missing = [
        name
        for name in (*export_format.writer_packages, *export_format.packages)
        if not _is_installed(name)
    ]
    if missing:
        raise ExportError(
            f"Format {export_format.name} needs {', '.join(missing)}, not installed here. Nothing was"
            " written.",
            pip_install_hint(export_format.extra or ""),
        )


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def require_precision(export_format: Format, precision: str) -> None:
    """Raises ExportError where a format has no weights of this precision."""
    if precision not in export_format.precisions:
        raise ExportError(
            f"--precision is {precision}, and an export in format {export_format.name} has weights in"
            f" {' or '.join(export_format.precisions)}. Nothing was written.",
            "Leave --precision out, or choose another format.",
        )


def require_followed(export_format: Format, decoding: Decoding) -> None:
    """Raises ExportError that names all settings of a search that a format cannot follow."""
    fields = Decoding.model_fields
    refused = [
        name
        for name in SEARCH_SETTINGS
        if getattr(decoding, name) != fields[name].default
        and (name not in export_format.follows or getattr(decoding, name) == "replace")
    ]
    if not refused:
        return
    sentences = [
        f"decoding.{name} is {shown(getattr(decoding, name))}, which an export in format"
        f" {export_format.name} cannot follow."
        for name in refused
    ]
    options = [f"--{n.replace('_', '-')} {shown(fields[n].default)}" for n in refused]
    raise ExportError(
        "\n".join([*sentences, "Nothing was written."]),
        f"Choose another format, or export another search with {' '.join(options)}.",
    )
