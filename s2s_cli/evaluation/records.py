"""Records of translated sentences: what a validation or an evaluation saw, as JSON lines.

The first line describes the record:

    {"record": 1, "kind": "validation" or "evaluation", "step": 500,
     "decoding": {…settings…}, "scores": [{"name", "value", "signature"}, …],
     "ensemble": [directories of the runs that translated together with this one]}

An evaluation also has `interval`, [low, high], in each score, and the tables of `breakdown.py`:
`by_length` and `by_frequency`. Each further line is a sentence:

    {"source", "reference", "translation", "score", "log_probability",
     "source_tokens": […], "tokens": […], "token_scores": […], "alignment": [[i, j], …]}

`token_scores` are log probabilities, one a token and one for `</s>` where it was reached; an
alignment [i, j] says that token j of the translation has its most attention on token i of the source.
Where there are several references, `references` holds all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s2s_cli.config.schema import Decoding
from s2s_cli.decoding.translation import Translation
from s2s_cli.errors import RunError
from s2s_cli.evaluation.metrics import Score
from s2s_cli.files import write_text
from s2s_cli.runs.run import Run
from s2s_cli.text.lines import one_line

RECORD_FORMAT = 1

_BEGINNING = b'{"record": '


@dataclass(frozen=True)
class TranslationRecord:
    """What a record is of, and how its translations scored; `tables` are added by their names."""

    kind: str
    step: int
    decoding: Decoding
    scores: Sequence[Score]
    tables: Mapping[str, Any] = field(default_factory=dict)
    ensemble: Sequence[Run] = ()


def write_record(
    path: Path,
    record: TranslationRecord,
    sentences: Iterable[tuple[str, Sequence[str], Translation]],
) -> None:
    """Writes sources, references and translations, whole or not at all. Raises OSError."""
    head = {
        "record": RECORD_FORMAT,
        "kind": record.kind,
        "step": record.step,
        "decoding": record.decoding.model_dump(mode="json"),
        "scores": [score.as_json() for score in record.scores],
        **record.tables,
        "ensemble": [str(run.root) for run in record.ensemble],
    }
    lines = [head, *(_line(*sentence) for sentence in sentences)]
    write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def read_record(path: Path) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """The description of a record and its sentences.

    Raises RunError where it cannot be read; for a damaged sentence, once that is reached.
    """
    try:
        head, *lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        description = json.loads(head)
        found = description["record"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: this is no record of translations: {error}.") from None
    if found != RECORD_FORMAT:
        raise RunError(f"{path}: this record has format {found}, not {RECORD_FORMAT}.")
    return description, _sentences(path, lines)


def is_record(path: Path) -> bool:
    """Whether this is a regular file that begins as a record does."""
    try:
        if not path.is_file():
            return False
        with open(path, "rb") as file:
            return file.read(len(_BEGINNING)) == _BEGINNING
    except OSError:
        return False


def _sentences(path: Path, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, start=2):
        try:
            sentence: dict[str, Any] = json.loads(line)
        except ValueError as error:
            raise RunError(f"{path}:{number}: this is no sentence of a record: {error}.") from None
        yield sentence


def _line(source: str, references: Sequence[str], translation: Translation) -> dict[str, Any]:
    several = {"references": list(references)} if len(references) > 1 else {}
    return {
        "source": source,
        "reference": references[0],
        **several,
        "translation": one_line(translation.text),
        "score": round(translation.score, 6),
        "log_probability": round(translation.log_probability, 6),
        "source_tokens": translation.source_tokens,
        "tokens": translation.tokens,
        "token_scores": [round(score, 6) for score in translation.token_scores],
        "alignment": translation.alignment,
    }
