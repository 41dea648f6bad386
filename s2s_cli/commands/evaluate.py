"""`s2s evaluate`: BLEU and chrF of a run on a test set."""

from __future__ import annotations

from collections.abc import Callable

from s2s_cli.commands.translate import one_line
from s2s_cli.decoding.translator import Translator
from s2s_cli.errors import DataError
from s2s_cli.evaluation import Score, score_translations
from s2s_cli.text.corpus import read_lines, unequal_lengths


def evaluate(
    translator: Translator,
    source: str,
    reference: str,
    tokenizer: str,
    on_batch: Callable[[int], None] = lambda count: None,
) -> list[Score]:
    """Scores translations of `source`, a sentence a line, against `reference`."""
    sources, references = list(read_lines(source)), list(read_lines(reference))
    if len(sources) != len(references):
        raise unequal_lengths(source, len(sources), reference, len(references))
    if not sources:
        raise DataError(f"{source}: there is not one sentence in it.")
    translations = [one_line(found.text) for found in translator.translate(sources, on_batch)]
    return score_translations(translations, references, tokenizer)
