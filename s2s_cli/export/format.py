"""What an export format provides, and which settings of a search it follows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

from s2s_cli.config.schema import Decoding, ResolvedConfig
from s2s_cli.config.schema.section import shown
from s2s_cli.errors import ExportError
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
    def runner(self) -> str:
        """File of `s2s_cli.export.runners` that is shipped as runner.py.

        It has a class Runner, made from the artefact's folder and its settings, with search(source ids
        of N sentences) → ids of their best translations, with `</s>` where it was reached.
        """

    @property
    def follows(self) -> Collection[str]:
        """Those of SEARCH_SETTINGS that its search follows; of `unknown`, the value `suppress`."""

    def write(self, folder: Path, seq2seq: Seq2Seq, config: ResolvedConfig) -> Sequence[str]:
        """Writes the model to a folder; returns a sentence for each thing that is left out."""


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
