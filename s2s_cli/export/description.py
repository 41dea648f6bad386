"""What every export holds beside its model: how to use it, and the tokenizers."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import yaml

from s2s_cli import __version__
from s2s_cli.config.schema import Decoding, ResolvedConfig
from s2s_cli.config.schema.section import shown
from s2s_cli.errors import ExportError
from s2s_cli.files import write_text
from s2s_cli.runs.run import Run

DESCRIPTION = "s2s-export.yaml"


def refuse_settings(export_format: str, decoding: Decoding, names: Sequence[str]) -> None:
    """Raises ExportError for the first of some settings that is not left at its default."""
    for name in names:
        value, default = getattr(decoding, name), Decoding.model_fields[name].default
        if value != default:
            raise ExportError(
                f"decoding.{name} is {shown(value)} in this run, which an export in format"
                f" {export_format} cannot do. Nothing was written.",
                f"Set it to {shown(default)} in the run's config.yaml, or choose another format.",
            )


def write_description(folder: Path, export_format: str, run: Run, config: ResolvedConfig) -> None:
    """Writes s2s-export.yaml and copies the tokenizers, under one name a side."""
    for side in ("source", "target"):
        model = run.tokenizer_file(side)
        shutil.copyfile(model, folder / f"{side}.model")
    description = {
        "format": export_format,
        "made_by": f"s2s {__version__}",
        "tokenizer": config.tokenizer.type,
        "beam_size": config.decoding.beam_size,
        "length_penalty": config.decoding.length_penalty,
        "no_repeat_ngram_size": config.decoding.no_repeat_ngram_size,
        "coverage_penalty": config.decoding.coverage_penalty,
        "diversity": config.decoding.diversity,
        "unknown": config.decoding.unknown,
        "min_length": config.decoding.min_length,
        "max_length": config.model.bounded_target(config.decoding.max_length),
        "max_length_ratio": config.decoding.max_length_ratio,
        "max_source_length": config.decoding.max_source_length,
        "long_sources": config.decoding.long_sources,
        "longest_source": config.model.longest_sentence,
    }
    write_text(folder / DESCRIPTION, yaml.safe_dump(description, sort_keys=False))
