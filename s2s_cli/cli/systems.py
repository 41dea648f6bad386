"""What `s2s evaluate` and `s2s compare` score: runs, and files of translations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from s2s_cli.cli import console, options
from s2s_cli.errors import ConfigError

if TYPE_CHECKING:
    from s2s_cli.config.schema import Decoding
    from s2s_cli.evaluation.inputs import EvaluationSet, Translated, TranslatedFile
    from s2s_cli.evaluation.metrics import Scoring
    from s2s_cli.runs.run import Run


@dataclass(frozen=True)
class System:
    """A run and how it translates, or a file of translations, by the name that was given."""

    name: str
    run: Run | None = None
    checkpoint: str = "best"
    decoding: Decoding | None = None
    ensemble: tuple[Run, ...] = ()
    """The runs that translate together with `run`."""
    file: TranslatedFile | None = None

    def translate(self, test_set: EvaluationSet) -> Translated:
        """The translations of a test set, for which a run needs TensorFlow to be started."""
        from s2s_cli.evaluation.inputs import Translated, translate_all

        if self.file is not None:
            return Translated(self.file.texts)
        from s2s_cli.decoding.translator import Translator

        assert self.run is not None and test_set.sources is not None
        runs = [self.run, *self.ensemble]
        translator = Translator.from_runs(runs, self.checkpoint, self.decoding)
        with console.Meter(f"translating with {self.name}", len(test_set), "line") as meter:
            return translate_all(translator, test_set.sources, meter.add)


def open_systems(
    names: Sequence[str],
    checkpoint: str,
    overrides: Mapping[str, Any],
    ensemble: Sequence[Path] = (),
) -> list[System]:
    """The runs and files of these names; each run translates together with those of `ensemble`.

    Raises S2SError for what is neither, and for options of a search where there is no run.
    """
    systems = [_open(name, checkpoint, overrides, ensemble) for name in names]
    given = [options.option_name(name) for name in overrides]
    given += ["--checkpoint"] if checkpoint != "best" else []
    given += ["--ensemble"] if ensemble else []
    if given and not any(system.run for system in systems):
        raise ConfigError(
            f"{given[0]} is for runs, and {' and '.join(names)}"
            f" {'holds' if len(names) == 1 else 'hold'} translations already.",
            "Leave the option out, or name the directory of a run.",
        )
    return systems


def _open(
    name: str, checkpoint: str, overrides: Mapping[str, Any], ensemble: Sequence[Path]
) -> System:
    from s2s_cli.config.load import override_decoding
    from s2s_cli.evaluation.inputs import read_translations

    if Path(name).is_dir():
        run, *others = options.runs_of(Path(name), list(ensemble), checkpoint)
        decoding = override_decoding(run.config(), **{**overrides, "n_best": 1})
        return System(name, run, checkpoint, decoding, tuple(others))
    if name != "-" and not Path(name).exists():
        raise ConfigError(
            f"{name}: there is no such run and no such file.",
            "Name the directory of a run, a file with a translation a line, or - for stdin.",
        )
    return System(name, file=read_translations(name))


def read_test_set(
    systems: Sequence[System], source: str | None, references: Sequence[str]
) -> EvaluationSet:
    """The test set, to which the files of translations must fit. Raises DataError; and TyperException
    where the source is missing."""
    from s2s_cli.evaluation.inputs import read_test_set

    if source is None and any(system.run for system in systems):
        raise missing("option '--source'")
    test_set = read_test_set(source, references)
    for system in systems:
        if system.file is not None:
            system.file.require_translations_of(test_set, references[0])
    return test_set


def missing(what: str) -> typer.TyperException:
    """The error for an argument or option that the others call for, as Typer raises it."""
    error = typer.TyperException(f"Missing {what}.")
    error.exit_code = 2
    return error


def scoring_of(
    systems: Sequence[System],
    test_set: EvaluationSet,
    bleu_tokenizer: str | None,
    lowercase: bool,
) -> Scoring:
    """How translations are scored: as the options say, or the first of the runs, or by the script
    of the references. Raises ConfigError."""
    from s2s_cli.evaluation.metrics import Scoring
    from s2s_cli.text import scripts

    configs = (system.run.config() for system in systems if system.run)
    chosen = bleu_tokenizer or next((c.training.bleu_tokenizer for c in configs), "auto")
    require_bleu_tokenizer(chosen)
    if chosen == "auto":
        chosen = scripts.bleu_tokenizer(test_set.references[0])
    return Scoring(chosen, lowercase)


def require_bleu_tokenizer(chosen: str) -> None:
    """Raises ConfigError where sacreBLEU has no such tokenizer."""
    if chosen not in options.BLEU_TOKENIZERS:
        raise ConfigError(
            f"--bleu-tokenizer is {chosen!r}; choose from {', '.join(options.BLEU_TOKENIZERS)}.",
            "zh is for Chinese, char for other scripts without spaces, 13a for all others; none is"
            " for files that are tokenised already.",
        )


def warn_of_tokenizer(better: str | None, chosen: str) -> None:
    """Warns where BLEU needs the tokenizer `better` for the references."""
    if better is not None:
        console.warn(
            "the references are written without spaces between words, so BLEU with"
            f" {chosen} takes whole lines for words; score with --bleu-tokenizer {better}"
        )
