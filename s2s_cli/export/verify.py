"""Proves an artefact again, with what it holds: `s2s verify`."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from s2s_cli.errors import ExportError
from s2s_cli.export import DESCRIPTION
from s2s_cli.export.artefact import PROOF, SENTENCES, find_damage
from s2s_cli.export.fresh_process import translate_in_fresh_process

_AGAIN = "Export the run again, or copy the artefact again from where it is whole."


@dataclass(frozen=True)
class Verification:
    """All `sentences` are translated as when the artefact was made.

    `ties`: how many of them differed from the run then, at ties of two scores or by smaller weights.
    `versions`: a phrase for each package whose version is not that of the proof.
    """

    export_format: str
    sentences: int
    ties: int
    versions: tuple[str, ...]


@dataclass(frozen=True)
class _Record:
    """What an artefact says of itself and of its proof."""

    export_format: str
    versions: Mapping[str, str]
    sources: list[str]
    translations: list[str]
    of_run: list[str]


def verify(folder: Path) -> Verification:
    """Translates the sentences of an artefact's proof again, in a fresh process.

    Raises ExportError where a file is missing, damaged or was added, where a package that it needs is
    missing, or where a translation differs from that of the proof.
    """
    if not (folder / DESCRIPTION).is_file():
        raise ExportError(
            f"{folder}: this is no artefact of `s2s export`; it has no {DESCRIPTION}.",
            "Give the folder that `s2s export` has written.",
        )
    require_undamaged(folder)
    record = _read(folder)
    changed = _changed_versions(record.versions)
    found = translate_in_fresh_process(
        folder, record.export_format, record.sources, packages=list(record.versions)
    ).texts
    _require_same(folder, record, found, changed)
    rows = zip(record.translations, record.of_run, strict=True)
    ties = sum(theirs != ours for theirs, ours in rows)
    return Verification(record.export_format, len(found), ties, tuple(changed))


def require_undamaged(folder: Path) -> None:
    """Raises ExportError that names each file that is not as it was written."""
    try:
        damage = find_damage(folder)
    except OSError as error:
        damage = [f"{error.filename} cannot be read: {error.strerror}."]
    if damage:
        raise ExportError("\n".join(f"{folder}: {sentence}" for sentence in damage), _AGAIN)


def _require_same(
    folder: Path, record: _Record, found: list[str], changed_versions: list[str]
) -> None:
    """Raises ExportError that shows the first translation that differs."""
    rows = zip(record.sources, record.translations, found, strict=True)
    other = [(source, then, now) for source, then, now in rows if then != now]
    if not other:
        return
    source, then, now = other[0]
    versions = f" It was made with {'; '.join(changed_versions)}." if changed_versions else ""
    raise ExportError(
        f"{folder}: {len(other)} of {len(found)} sentences are not translated as when the artefact"
        f" was made; {source!r} becomes {now!r}, not {then!r}.{versions}",
        "Install the versions that README.md in the artefact names, or export the run again on this"
        " processor, as 8-bit weights and ties of two scores may depend on it.",
    )


def _read(folder: Path) -> _Record:
    try:
        description = yaml.safe_load((folder / DESCRIPTION).read_text(encoding="utf-8"))
        versions = json.loads((folder / PROOF).read_bytes())["versions"]
        lines = (folder / SENTENCES).read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        return _Record(
            str(description["format"]),
            {str(name): str(version) for name, version in dict(versions).items()},
            *([str(row[key]) for row in rows] for key in ("source", "artefact", "run")),
        )
    except (OSError, ValueError, TypeError, KeyError, RecursionError, yaml.YAMLError) as error:
        raise ExportError(
            f"{folder}: the record of its proof cannot be read: {error}.", _AGAIN
        ) from None


def _changed_versions(versions: Mapping[str, str]) -> list[str]:
    """A phrase for each package whose version differs here. Raises ExportError for missing ones."""
    changed, missing = [], []
    for name, then in versions.items():
        try:
            now = importlib.metadata.version(name)
        except (importlib.metadata.PackageNotFoundError, ValueError):
            missing.append(f"{name}=={then}")
            continue
        if now != then:
            changed.append(f"{name} {then}; here it is {now}")
    if missing:
        raise ExportError(
            f"the artefact needs packages that are not installed: {', '.join(missing)}.",
            f"pip install {' '.join(missing)}",
        )
    return changed
