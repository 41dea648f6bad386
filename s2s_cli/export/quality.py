"""How well an artefact translates whose weights are not quite those of its run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from s2s_cli.errors import ExportError
from s2s_cli.evaluation.metrics import Scoring, score_translations
from s2s_cli.evaluation.records import read_record
from s2s_cli.export.proof import Comparison, Quality, Subject, require_same_tokens
from s2s_cli.runs.run import Run

# Held-out sentences that are scored at most, and how many say whether BLEU has fallen.
MOST, ENOUGH = 1000, 500
# So much lower than the run's may the BLEU of an artefact be; with fewer sentences, half as high.
LOST_BLEU = 0.5


@dataclass(frozen=True)
class HeldOut:
    """Sentences that the run was not trained on, and a reference for each."""

    sources: Sequence[str]
    references: Sequence[str]


def held_out(run: Run) -> HeldOut:
    """The first sentences of the latest validation of a run; none where it has no record."""
    steps = sorted(run.root.glob("translations/step-*.jsonl"))
    if not steps:
        return HeldOut([], [])
    _, sentences = read_record(steps[-1])
    rows = [row for _, row in zip(range(MOST), sentences, strict=False)]
    return HeldOut([row["source"] for row in rows], [row["reference"] for row in rows])


def compare_quality(
    subject: Subject, sentences: Sequence[str], pairs: HeldOut, bleu_tokenizer: str
) -> Comparison:
    """Translates sentences, and held-out ones with references, by the run and in a fresh process.

    Counts those that differ. Raises ExportError where enough held-out sentences show that the
    translations are worse.
    """
    together = [*sentences, *pairs.sources]
    translations = subject.translator.translate(together)
    answer = subject.answer(together)
    require_same_tokens(subject, together, translations, answer)
    expected = [one.text for one in translations]
    different = sum(ours != theirs for ours, theirs in zip(expected, answer.texts, strict=True))
    quality: Quality | None = None
    notes: tuple[str, ...] = ()
    if pairs.sources:
        quality = _scored(expected, answer.texts, pairs, bleu_tokenizer)
        _require_quality(quality, subject.export_format.name)
    if len(pairs.sources) < ENOUGH:
        notes = (
            f"{len(pairs.sources)} held-out sentences with references are too few to say whether this"
            f" export translates as well as the run; {ENOUGH} are enough.",
        )
    return Comparison(together, expected, answer, different=different, quality=quality, notes=notes)


def _scored(
    run: Sequence[str], artefact: Sequence[str], pairs: HeldOut, bleu_tokenizer: str
) -> Quality:
    count = len(pairs.sources)
    scores = [
        score_translations(
            texts[-count:], [pairs.references], Scoring(bleu_tokenizer), names=("bleu",)
        )[0]
        for texts in (run, artefact)
    ]
    return Quality(count, scores[0].value, scores[1].value, scores[0].signature)


def _require_quality(quality: Quality, name: str) -> None:
    is_enough = quality.sentences >= ENOUGH
    allowed = quality.run - LOST_BLEU if is_enough else quality.run / 2 - LOST_BLEU
    if quality.artefact < allowed:
        raise ExportError(
            f"The {name} export translates worse than the run: BLEU {quality.artefact:.2f} on"
            f" {quality.sentences} held-out sentences; the run, {quality.run:.2f}. At least"
            f" {allowed:.2f} is wanted. Nothing was written.",
            "Export with --precision float32.",
        )
