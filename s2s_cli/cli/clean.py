"""`s2s clean`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from s2s_cli.cli import console, options
from s2s_cli.config.schema import Cleaning, Corpus

if TYPE_CHECKING:
    from s2s_cli.cleaning.report import Report


@options.with_section_options(Cleaning, "Cleaning (override the section `cleaning` of the config)")
def clean(
    config_file: options.ConfigFile,
    folder: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the cleaned corpora.")
    ],
    settings: options.Settings = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
    overrides: dict[str, Any] | None = None,
) -> None:
    """Write the training corpora without dirty pairs, and those with the reason to other files."""
    from s2s_cli.cleaning.clean import clean
    from s2s_cli.cli.clean_report import report_lines
    from s2s_cli.config.load import load_config
    from s2s_cli.text.corpus import total_bytes

    changes = [f"cleaning.{name}={value}" for name, value in (overrides or {}).items()]
    config = load_config(config_file, (*(settings or ()), *changes))
    corpora = config.data.train
    with console.Meter("cleaning", total_bytes(corpora), "B") as meter:
        report = clean(config, folder, force=force, progress=meter.move_to)
    if as_json:
        console.print_line(json.dumps(asdict(report)))
        return
    console.print_report(report_lines(report))
    train = _train_command(config_file, settings or [], corpora, report)
    if not train:
        console.warn("no pair was kept; see the files of rejected lines")
        return
    console.say("Only training corpora were cleaned; files of validation stay as they are. Next:")
    console.next_commands(train)


def _train_command(
    config_file: Path, settings: list[str], corpora: list[Corpus], report: Report
) -> list[str]:
    """The command that trains on what was kept; empty where that is nothing."""
    values = list(_cleaned_corpora(corpora, report))
    if not values:
        return []
    train = yaml.safe_dump(
        values, default_flow_style=True, allow_unicode=True, sort_keys=False, width=sys.maxsize
    )
    others = [text for text in settings if not text.strip().startswith(("data.train", "cleaning."))]
    changes = [*others, f"data.train={train.strip()}"]
    return ["s2s", "train", str(config_file), *(a for c in changes for a in ("--set", c))]


def _cleaned_corpora(corpora: list[Corpus], report: Report) -> Iterator[dict[str, Any]]:
    """The values of `data.train` for the corpora of which a pair was kept."""
    for corpus, cleaned in zip(corpora, report.corpora, strict=True):
        if cleaned.kept:
            use = corpus.model_dump(include={"mixing_weight", "source_tag"}, exclude_none=True)
            yield {"tsv": cleaned.kept_file, **use}
