"""Which models are served, and what each translates from and to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from s2s_cli.errors import ConfigError
from s2s_cli.export import DESCRIPTION
from s2s_cli.runs.run import Run

# ISO 639 codes, with a script or region if need be: en, pt-BR, zh-Hans.
_LANGUAGE = "[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*"
_NAMED = re.compile(f"({_LANGUAGE})-({_LANGUAGE})=(.+)", re.DOTALL)


@dataclass(frozen=True)
class Place:
    """Where a model is, and what it translates from and to, as ISO 639 codes."""

    source: str
    target: str
    path: str


def read_places(given: Sequence[str], source: str | None, target: str | None) -> list[Place]:
    """The places of `en-de=PATH`, or of one PATH with --source and --target. Raises ConfigError."""
    if source is not None or target is not None:
        if len(given) != 1 or source is None or target is None:
            raise ConfigError(
                "--source and --target say together what one model translates; for several, write the"
                " languages before each.",
                f"s2s serve en-de={given[0]} de-en=…",
            )
        return [Place(_require_code(source), _require_code(target), given[0])]
    places = []
    for one in given:
        match = _NAMED.fullmatch(one)
        if match is None:
            raise ConfigError(
                f"{one}: its languages are not known.",
                f"Write them before it (s2s serve en-de={one}), or give --source and --target.",
            )
        places.append(Place(*match.groups()))
        whole = one.partition("=")[0]
        cuts = [i for i, letter in enumerate(whole) if letter == "-"]
        fitting = [i for i in cuts if _is_code(whole[:i]) and _is_code(whole[i + 1 :])]
        if len(fitting) > 1:
            raise ConfigError(
                f"{one}: {whole} can be read as two languages in more than one way.",
                "Write scripts and regions in capitals, such as pt-BR or zh-Hans.",
            )
    pairs = [(place.source, place.target) for place in places]
    for pair in pairs:
        if pairs.count(pair) > 1:
            raise ConfigError(f"Two models translate from {pair[0]} to {pair[1]}.", "Give one.")
    return places


def _is_code(text: str) -> bool:
    return re.fullmatch(_LANGUAGE, text) is not None


def _require_code(code: str) -> str:
    if not _is_code(code):
        raise ConfigError(
            f"{code!r} is no language code.", "Use ISO 639 codes, such as en, de or pt-BR."
        )
    return code


def require_places(places: Sequence[Place]) -> None:
    """Raises S2SError for a place that has neither a run nor an artefact."""
    for place in places:
        if not (Path(place.path) / DESCRIPTION).is_file():
            Run(Path(place.path)).config()
