"""Scores the translations of a test set."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from s2s_cli.decoding.translator import Translator
from s2s_cli.errors import DataError, S2SError
from s2s_cli.evaluation.metrics import Score, score_translations
from s2s_cli.evaluation.records import TranslationRecord, write_record
from s2s_cli.runs.run import Run, step_of
from s2s_cli.text import scripts
from s2s_cli.text.formats.parallel import unequal_lengths
from s2s_cli.text.lines import one_line, read_lines


@dataclass(frozen=True)
class Evaluation:
    """The scores, and the file of the run that records every sentence."""

    scores: list[Score]
    record: Path
    better_tokenizer: str | None
    """The tokenizer that BLEU needs for these references, if it was taken with an unfit one."""


def evaluate(
    run: Run,
    translator: Translator,
    source: str,
    reference: str,
    *,
    checkpoint: str = "best",
    bleu_tokenizer: str,
    on_batch: Callable[[int], None] = lambda count: None,
) -> Evaluation:
    """Translates `source`, a sentence a line, scores it against `reference`, and records it.

    `bleu_tokenizer` is sacreBLEU's, or `auto`, which follows the script of the references. Raises
    DataError where the files are not parallel, S2SError where memory is too short.
    """
    sources, references = list(read_lines(source)), list(read_lines(reference))
    if len(sources) != len(references):
        raise unequal_lengths(source, len(sources), reference, len(references))
    if not sources:
        raise DataError(f"{source}: the file is empty.")
    try:
        found = translator.translate(sources, on_batch)
    except MemoryError:
        raise S2SError(
            f"memory is too short to translate {translator.decoding.batch_size} sentences at once.",
            "Lower --batch-size or --beam-size.",
        ) from None
    texts = [one_line(translation.text) for translation in found]
    if bleu_tokenizer == "auto":
        bleu_tokenizer = scripts.bleu_tokenizer(references)
    scores = score_translations(texts, references, bleu_tokenizer)
    path = run.translations(f"evaluation-{_slug(source)}")
    step = step_of(run.find_checkpoint(checkpoint))
    write_record(
        path,
        TranslationRecord("evaluation", step, translator.decoding, scores),
        zip(sources, references, found, strict=True),
    )
    return Evaluation(scores, path, scripts.better_bleu_tokenizer(references, bleu_tokenizer))


def _slug(source: str) -> str:
    """A file's name without its folders, of letters that every file system takes."""
    return re.sub(r"[^\w.-]", "_", Path(source).name) or "stdin"
