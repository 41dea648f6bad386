"""What every artefact holds beside its model: how to use it, the tokenizers, a program, checksums."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml

from s2s_cli import __version__
from s2s_cli.config.schema import ResolvedConfig
from s2s_cli.export import DESCRIPTION
from s2s_cli.export.format import SEARCH_SETTINGS, Format
from s2s_cli.files import sha256, write_text
from s2s_cli.runs.run import Run

CHECKSUMS = "checksums.json"
PROOF = "proof.json"
SENTENCES = "proof-sentences.jsonl"
PROGRAM_PACKAGES = ("sentencepiece", "pyyaml", "regex")
"""What translate.py needs, whatever the format is."""

CARD = "README.md"

# What the checksums do not cover: they themselves, and the page to which its owner adds.
_UNCHECKED = {CHECKSUMS, CARD}


def write_description(
    folder: Path, export_format: Format, run: Run, config: ResolvedConfig, precision: str
) -> None:
    """Writes s2s-export.yaml, the tokenizers, and the program that translates."""
    for side in ("source", "target"):
        shutil.copyfile(run.tokenizer_file(side), folder / f"{side}.model")
    decoding = config.decoding
    description = {
        "format": export_format.name,
        "made_by": f"s2s {__version__}",
        "tokenizer": config.tokenizer.type,
        "precision": precision,
        **{name: getattr(decoding, name) for name in SEARCH_SETTINGS},
        "max_length": config.model.bounded_target(decoding.max_length),
        "max_length_ratio": decoding.max_length_ratio,
        "max_source_length": decoding.max_source_length,
        "long_sources": decoding.long_sources,
        "batch_size": decoding.batch_size,
    }
    write_text(folder / DESCRIPTION, yaml.safe_dump(description, sort_keys=False))
    for package, source, name in (
        ("s2s_cli.export.runners", "translate.py", "translate.py"),
        ("s2s_cli.export.runners", export_format.runner, "runner.py"),
        ("s2s_cli.text", "marks.py", "marks.py"),
        ("s2s_cli.text", "splitting.py", "splitting.py"),
    ):
        with importlib.resources.as_file(importlib.resources.files(package) / source) as path:
            shutil.copyfile(path, folder / name)


def versions(export_format: Format) -> dict[str, str]:
    """The installed version of each package that an artefact needs."""
    return {
        name: importlib.metadata.version(name)
        for name in (*PROGRAM_PACKAGES, *export_format.packages)
    }


def write_checksums(folder: Path) -> None:
    """Writes the SHA-256 of every file of an artefact."""
    write_text(folder / CHECKSUMS, json.dumps(_checksums(folder), indent=1) + "\n")


def find_damage(folder: Path) -> list[str]:
    """A sentence for each file that is not as it was written, that is missing or that was added.

    Raises OSError where a file cannot be read.
    """
    try:
        written: Mapping[str, str] = dict(json.loads((folder / CHECKSUMS).read_bytes()))
    except (OSError, ValueError, TypeError):
        return [f"{CHECKSUMS} is missing or damaged."]
    found = _checksums(folder)
    return [
        *(f"{name} is missing." for name in written if name not in found),
        *(f"{name} is damaged." for name, s in written.items() if found.get(name, s) != s),
        *(f"{name} was added." for name in found if name not in written),
    ]


def _checksums(folder: Path) -> dict[str, str]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    names = {path: path.relative_to(folder).as_posix() for path in paths}
    return {
        name: sha256(path)
        for path, name in names.items()
        # Python writes the latter when translate.py is run.
        if name not in _UNCHECKED and path.parent != folder / "__pycache__"
    }


def size(folder: Path) -> int:
    """Bytes of all files of an artefact."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
