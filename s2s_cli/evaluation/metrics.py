"""BLEU and chrF by sacreBLEU, with the signatures that make them comparable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sacrebleu.metrics import BLEU, CHRF


@dataclass(frozen=True)
class Score:
    """A corpus score in 0..100 and sacreBLEU's signature of how it was taken."""

    name: str
    value: float
    signature: str


def score_translations(
    translations: Sequence[str], references: Sequence[str], tokenizer: str
) -> list[Score]:
    """BLEU (https://aclanthology.org/W18-6319) and chrF of detokenised, cased text.

    `tokenizer` is sacreBLEU's for BLEU; chrF needs none.
    """
    scores = []
    # force: no advice on the terminal about texts that happen to look tokenised.
    for name, metric in (("bleu", BLEU(tokenize=tokenizer, force=True)), ("chrf", CHRF())):
        result = metric.corpus_score(list(translations), [list(references)])
        scores.append(Score(name, float(result.score), str(metric.get_signature())))
    return scores
