"""BLEU, chrF and TER by sacreBLEU, with the signatures that make them comparable."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sacrebleu.metrics import BLEU, CHRF, TER

from s2s_cli.errors import ConfigError, S2SError
from s2s_cli.runtime.hardware import available_memory

RESAMPLES = 1000
"""Bootstrap samples of a test set from which an interval is estimated, as in sacreBLEU."""

# Bytes a sentence: sacreBLEU holds 18 numbers for each sentence in each of 1,000 bootstrap samples,
# or a selection of 8 bytes for each in 10,000 trials of a randomisation test.
_RESAMPLING_MEMORY = 100_000


@dataclass(frozen=True)
class Scoring:
    """How translations are compared with references.

    `bleu_tokenizer` is sacreBLEU's for BLEU, `none` for text that is tokenised already; chrF and
    TER need none. With `lowercase`, BLEU and chrF ignore case; TER always does.
    """

    bleu_tokenizer: str
    lowercase: bool = False

    def metrics(self) -> dict[str, Any]:
        """sacreBLEU's metrics by name; each remembers the last texts that it scored."""
        # force: no advice on the terminal about texts that happen to look tokenised.
        return {
            "bleu": BLEU(tokenize=self.bleu_tokenizer, lowercase=self.lowercase, force=True),
            "chrf": CHRF(lowercase=self.lowercase),
            "ter": TER(),
        }


@dataclass(frozen=True)
class Score:
    """A corpus score and sacreBLEU's signature of how it was taken.

    BLEU and chrF are in 0..100; TER, for which lower is better, is in percent of the words of the
    reference. `interval` holds the bounds of the 95% interval, where one was estimated.
    """

    name: str
    value: float
    signature: str
    interval: tuple[float, float] | None = None

    def as_json(self) -> dict[str, Any]:
        """The values by name, without an interval where there is none."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def score_translations(
    translations: Sequence[str],
    references: Sequence[Sequence[str]],
    scoring: Scoring,
    *,
    names: Sequence[str] = ("bleu", "chrf", "ter"),
    resamples: int = 0,
) -> list[Score]:
    """BLEU (https://aclanthology.org/W18-6319), chrF and TER of a corpus, or some of them.

    `references` holds a list of sentences for each reference. With `resamples`, 95% intervals are
    estimated by bootstrap resampling (https://aclanthology.org/W04-3250); its seed is sacreBLEU's,
    12345 or the environment's SACREBLEU_SEED. Raises what `require_resampling` does.
    """
    if resamples:
        require_resampling(len(translations))
    scores = []
    for name, metric in scoring.metrics().items():
        if name in names:
            scores.append(_score(name, metric, list(translations), references, resamples))
    return scores


def _score(
    name: str,
    metric: Any,
    translations: list[str],
    references: Sequence[Sequence[str]],
    resamples: int,
) -> Score:
    """The score by one of sacreBLEU's metrics."""
    try:
        result = metric.corpus_score(translations, references, n_bootstrap=resamples)
        signature = str(metric.get_signature())
        interval = _interval(result, signature) if resamples > 1 else None
    except TypeError:
        # sacreBLEU 2.6 cannot estimate an interval where only some resamples score exactly 0, as
        # those of a few, or of very bad, translations do.
        result, interval = metric.corpus_score(translations, references), None
        signature = str(metric.get_signature())
    return Score(name, float(result.score), signature, interval)


def _interval(result: Any, signature: str) -> tuple[float, float]:
    """The 95% interval around the mean of the resamples."""
    found = json.loads(result.format(width=9, signature=signature, is_json=True))
    # sacreBLEU leaves both out where the score of each resample is 0.
    mean, half_width = found.get("confidence_mean", 0.0), found.get("confidence_var", 0.0)
    return mean - half_width, mean + half_width


def require_resampling(sentences: int) -> None:
    """Raises ConfigError for a SACREBLEU_SEED that sacreBLEU cannot use, and S2SError where memory
    is too short to resample so many sentences."""
    seed = os.environ.get("SACREBLEU_SEED", "12345")
    # sacreBLEU takes 0 for no seed in some of its tests.
    if seed.lower() != "none" and not (seed.isascii() and seed.isdecimal() and int(seed)):
        raise ConfigError(
            f"SACREBLEU_SEED is {seed!r}; it must be a number of at least 1, or none.",
            "Unset this variable of the environment: the seed is then 12345.",
        )
    free = available_memory()
    if free is not None and free < _RESAMPLING_MEMORY * sentences:
        raise S2SError(
            f"memory is too short to resample {sentences:,} sentences: that takes some"
            f" {_RESAMPLING_MEMORY * sentences / 1e9:.1f} GB.",
            "Score fewer sentences at a time; `s2s evaluate --resamples 0` leaves the intervals out.",
        )
