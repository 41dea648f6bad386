"""Scores by the length of sentences, and how well words are translated by their frequency."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from s2s_cli.evaluation.inputs import EvaluationSet
from s2s_cli.evaluation.metrics import Scoring, score_translations
from s2s_cli.runs.run import Run
from s2s_cli.text.scripts import is_written_without_spaces
from s2s_cli.text.store import open_store

# The largest values of each bucket; the last has none.
LENGTHS = (5, 10, 15, 20, 30, 40, 60)
FREQUENCIES = (0, 1, 9, 99, 999)
# Training sentences whose words are counted: more would take longer than to score a test set.
MOST_SENTENCES = 200_000


@dataclass(frozen=True)
class LengthBucket:
    """The sentences of `low` to `high` words (None: any number), and their scores by name."""

    low: int
    high: int | None
    sentences: int
    scores: dict[str, float]


@dataclass(frozen=True)
class LengthTable:
    """Scores by the length of the source, or of the first reference where there is no source.

    `unit` is what lengths are counted in: white space separates words; text that is written
    without spaces is counted in characters.
    """

    side: Literal["source", "reference"]
    unit: Literal["words", "characters"]
    buckets: list[LengthBucket]


@dataclass(frozen=True)
class FrequencyBucket:
    """The words that are counted `low` to `high` times (None: any number).

    `words` is how many of the words of the references these are; precision, recall and their
    harmonic mean, F1, are in 0..100, None where there is nothing to divide by.
    """

    low: int
    high: int | None
    words: int
    precision: float | None
    recall: float | None
    f1: float


@dataclass(frozen=True)
class FrequencyTable:
    """How well words are translated, by how often they occur.

    `counted_in` says where: in `sentences` of the `of` sentences of the training targets of the
    run, or of the references.
    """

    counted_in: Literal["training", "references"]
    sentences: int
    of: int
    buckets: list[FrequencyBucket]


# By length.


def by_length(
    translations: Sequence[str], test_set: EvaluationSet, scoring: Scoring
) -> LengthTable:
    """The scores of the sentences of each length; lengths of which there are none are left out."""
    texts = test_set.references[0] if test_set.sources is None else test_set.sources
    has_words = not is_written_without_spaces(texts)
    lengths = [len(text.split()) if has_words else len("".join(text.split())) for text in texts]
    buckets = []
    for index, (low, high) in enumerate(_bounds(LENGTHS)):
        rows = [row for row, length in enumerate(lengths) if bisect_left(LENGTHS, length) == index]
        if rows:
            scores = score_translations(
                [translations[row] for row in rows],
                [[lines[row] for row in rows] for lines in test_set.references],
                scoring,
            )
            values = {score.name: score.value for score in scores}
            buckets.append(LengthBucket(low, high, len(rows), values))
    side: Literal["source", "reference"] = "reference" if test_set.sources is None else "source"
    return LengthTable(side, "words" if has_words else "characters", buckets)


def _bounds(largest: Sequence[int]) -> Iterator[tuple[int, int | None]]:
    """The lowest and highest value of each bucket."""
    low = 0
    for high in largest:
        yield low, high
        low = high + 1
    yield low, None


# By frequency.


@dataclass(frozen=True)
class WordCounts:
    """How often each word occurs in some of the sentences of a corpus; see `FrequencyTable`."""

    counts: Counter[str]
    counted_in: Literal["training", "references"]
    sentences: int
    of: int


def training_words(
    run: Run, scoring: Scoring, on_sentence: Callable[[int], None] = lambda count: None
) -> WordCounts | None:
    """Counts the words of the training targets of a run; None where its token store is gone.

    Of more than MOST_SENTENCES sentences, as many are counted, evenly spread over the corpora.
    """
    store = open_store(run.store("train"))
    if store is None:
        return None
    step = -(-len(store) // MOST_SENTENCES) or 1
    rows = range(0, len(store), step)
    words = words_of(scoring)
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update(words(bytes(store.target_text[row]).decode("utf-8")))
        on_sentence(1)
    return WordCounts(counts, "training", len(rows), len(store))


def reference_words(test_set: EvaluationSet, scoring: Scoring) -> WordCounts:
    """Counts the words of all references."""
    words = words_of(scoring)
    counts = Counter(
        word for lines in test_set.references for line in lines for word in words(line)
    )
    total = len(test_set) * len(test_set.references)
    return WordCounts(counts, "references", total, total)


def words_of(scoring: Scoring) -> Callable[[str], list[str]]:
    """Returns a function that cuts a text into words as BLEU does."""
    tokenizer = scoring.metrics()["bleu"].tokenizer

    def words(text: str) -> list[str]:
        found: list[str] = tokenizer((text.lower() if scoring.lowercase else text).rstrip()).split()
        return found

    return words


def by_frequency(
    translations: Sequence[str], test_set: EvaluationSet, scoring: Scoring, known: WordCounts
) -> FrequencyTable:
    """Precision and recall of words by their frequency, as in https://aclanthology.org/N19-4007.

    A word of a translation is right as often as it stands in the reference of the same sentence.
    With several references, each sentence counts with each of them.
    """
    words = words_of(scoring)
    translated: Counter[int] = Counter()
    expected: Counter[int] = Counter()
    right: Counter[int] = Counter()
    for lines in test_set.references:
        for translation, reference in zip(translations, lines, strict=True):
            found, wanted = Counter(words(translation)), Counter(words(reference))
            for total, counts in ((translated, found), (expected, wanted), (right, found & wanted)):
                for word, count in counts.items():
                    total[bisect_left(FREQUENCIES, known.counts[word])] += count
    buckets = [
        _frequency_bucket(low, high, translated[index], expected[index], right[index])
        for index, (low, high) in enumerate(_bounds(FREQUENCIES))
        if translated[index] or expected[index]
    ]
    return FrequencyTable(known.counted_in, known.sentences, known.of, buckets)


def _frequency_bucket(
    low: int, high: int | None, translated: int, expected: int, right: int
) -> FrequencyBucket:
    return FrequencyBucket(
        low,
        high,
        expected,
        100 * right / translated if translated else None,
        100 * right / expected if expected else None,
        200 * right / (translated + expected),
    )
