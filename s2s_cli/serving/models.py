"""What a server translates with: runs and artefacts, by language pair."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2s_cli.config.load import override_decoding
from s2s_cli.config.schema import Decoding
from s2s_cli.decoding.translation import Translation
from s2s_cli.decoding.translator import Translator
from s2s_cli.errors import ExportError
from s2s_cli.export import DESCRIPTION, SAMPLING_SETTINGS
from s2s_cli.export.verify import require_undamaged
from s2s_cli.runs.run import Run
from s2s_cli.serving.places import Place

# What is translated before a server says that it is ready.
WARM_UP = ("a", "a b c d e f g h")


@dataclass(frozen=True)
class Model:
    """Functions that translate a list of sentences to the n-best list of each.

    `n_best` is None where there are no alternatives; `has_details` says whether translations have
    scores and alignments.
    """

    place: Place
    best: Callable[[Sequence[str]], list[list[Translation]]]
    n_best: Callable[[Sequence[str]], list[list[Translation]]] | None
    has_details: bool = True


def load_model(place: Place, checkpoint: str, alternatives: int) -> Model:
    """The model at a place, warm. Raises S2SError."""
    folder = Path(place.path)
    if (folder / DESCRIPTION).is_file():
        model = _load_artefact(place, folder)
    else:
        model = _load_run(place, Run(folder), checkpoint, alternatives)
    for translate in (model.best, model.n_best):
        if translate is not None:
            translate(WARM_UP)
    return model


def _load_run(place: Place, run: Run, checkpoint: str, alternatives: int) -> Model:
    config = run.config()
    plain = override_decoding(config, n_best=1)
    best = Translator.from_run(run, checkpoint, plain)
    n_best = None
    if alternatives:
        count = alternatives + 1
        beam = max(count, plain.beam_size)
        plainly = {name: Decoding.model_fields[name].default for name in SAMPLING_SETTINGS}
        several = override_decoding(config, n_best=count, beam_size=beam, sampling=False, **plainly)
        n_best = Translator.from_run(run, checkpoint, several).n_best
    return Model(place, best.n_best, n_best)


def _load_artefact(place: Place, folder: Path) -> Model:
    """Runs translate.py of an artefact, which is a program. Raises ExportError."""
    import runpy

    require_undamaged(folder)
    sys.dont_write_bytecode = True
    try:
        program: Any = runpy.run_path(str(folder / "translate.py"))
        translator = program["Translator"](folder)
    except Exception as error:
        raise ExportError(
            f"{folder}: this artefact does not run here: {type(error).__name__}: {error}.",
            "README.md in it names the packages that it needs.",
        ) from None

    def best(sentences: Sequence[str]) -> list[list[Translation]]:
        return [[Translation(text)] for text in translator.translate(list(sentences))]

    return Model(place, best, None, has_details=False)
