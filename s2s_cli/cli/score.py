"""`s2s score`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2s_cli.cli import console, options
from s2s_cli.cli.output import escaped, line_count, require_folder
from s2s_cli.cli.process import start_tensorflow
from s2s_cli.config.schema import Decoding
from s2s_cli.errors import S2SError

if TYPE_CHECKING:
    from s2s_cli.config.schema import ResolvedConfig
    from s2s_cli.decoding.scoring import Scorer, Unscored
    from s2s_cli.decoding.translation import Translation


@options.with_section_options(Decoding, options.DECODING_PANEL, only=["length_penalty"])
def score(
    run: options.RunDirectory,
    source: Annotated[
        str, typer.Option(metavar="FILE", help="File with one source sentence a line.")
    ],
    target: Annotated[
        str, typer.Option(metavar="FILE", help="File with the translation of each line.")
    ],
    output_file: Annotated[
        str, typer.Option("-o", "--output", help="File to write; - is stdout.")
    ] = "-",
    token_scores: Annotated[
        bool,
        typer.Option("--token-scores", help="Write the tokens and the log probability of each."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write a JSON object a line.")] = False,
    checkpoint: options.Checkpoint = "best",
    threads: options.Threads = None,
    overrides: dict[str, Any] | None = None,
) -> None:
    """Score translations that exist: the log probability that a run gives to each, a line a pair."""
    from s2s_cli.config.load import override_decoding
    from s2s_cli.files import output
    from s2s_cli.runs.run import Run
    from s2s_cli.text.chunks import chunks
    from s2s_cli.text.formats.parallel import unequal_lengths

    require_folder(output_file)
    directory = Run(run)
    config = directory.config()
    decoding = override_decoding(config, **(overrides or {}))
    directory.find_checkpoint(checkpoint)
    total, targets = line_count(source), line_count(target)
    if None not in (total, targets) and total != targets:
        raise unequal_lengths(source, total or 0, target, targets or 0)
    start_tensorflow(threads)
    from s2s_cli.decoding.scoring import Scorer
    from s2s_cli.decoding.translator import CHUNK

    scorer = Scorer.from_run(directory, checkpoint, length_penalty=decoding.length_penalty)
    layout, tally = Layout(token_scores, as_json), Tally()
    with output(output_file) as file, console.Meter("scoring", total, "pair") as meter:
        for pairs in chunks(_pairs(source, target), CHUNK):
            for pair, found in zip(pairs, _scored(scorer, pairs, meter), strict=True):
                file.write(layout.line(tally.pairs, found) + "\n")
                tally.add(pair[1], found)
            file.flush()
    for sentence in (*tally.warnings(scorer.max_source_length), *_differences_of(config)):
        console.warn(sentence)
    console.say(tally.summary())


def _pairs(source: str, target: str) -> Iterator[tuple[str, str]]:
    """The pairs of parallel files, line by line. Raises CorpusError."""
    from s2s_cli.config.load import files_from_options
    from s2s_cli.text.formats.parallel import parallel_rows

    for row in parallel_rows(files_from_options({"source": source, "target": target}), 0, None):
        if row.pair is None:
            raise row.problems[0].error()
        yield row.pair.source, row.pair.target


def _scored(
    scorer: Scorer, pairs: Sequence[tuple[str, str]], meter: console.Meter
) -> list[Translation | Unscored]:
    """The score of each pair. Raises S2SError where memory is too short."""
    try:
        return scorer.score(pairs, meter.add)
    except MemoryError:
        raise S2SError(
            "memory is too short to score these pairs.",
            "Lower --threads, each of which scores a batch; or leave out the longest pairs.",
        ) from None


@dataclass(frozen=True)
class Layout:
    """How scores are written: a line a pair, `nan` for a pair without a score.

    With `token_scores`, the score, the tokens and the log probability of each, separated by
    ` ||| `; the last is that of `</s>`. With `as_json`, a JSON object a pair.
    """

    token_scores: bool = False
    as_json: bool = False

    def line(self, number: int, found: Translation | Unscored) -> str:
        """The line of pair `number`, counted from 0."""
        from s2s_cli.decoding.scoring import Unscored

        if isinstance(found, Unscored):
            return json.dumps({"id": number, "score": None}) if self.as_json else "nan"
        if self.as_json:
            content = {
                "id": number,
                "score": found.score,
                "log_probability": found.log_probability,
                "tokens": found.tokens,
                "token_scores": found.token_scores,
            }
            return json.dumps(content, ensure_ascii=False)
        fields = [f"{found.score:.6f}"]
        if self.token_scores:
            fields.append(escaped(" ".join(found.tokens)))
            fields.append(" ".join(f"{value:.6f}" for value in found.token_scores))
        return " ||| ".join(fields)


@dataclass
class Tally:
    """What was scored, and the numbers, from 1, of the lines that were not scored as they are."""

    pairs: int = 0
    tokens: int = 0
    log_probability: float = 0.0
    unscored: dict[Unscored, list[int]] = field(default_factory=dict)
    long: list[int] = field(default_factory=list)
    changed: list[tuple[int, str]] = field(default_factory=list)

    def add(self, target: str, found: Translation | Unscored) -> None:
        """Counts the next pair."""
        from s2s_cli.decoding.scoring import Unscored

        self.pairs += 1
        if isinstance(found, Unscored):
            self.unscored.setdefault(found, []).append(self.pairs)
            return
        self.tokens += found.length
        self.log_probability += found.log_probability
        if found.is_long:
            self.long.append(self.pairs)
        if found.text != " ".join(target.split()):
            self.changed.append((self.pairs, found.text))

    def summary(self) -> str:
        """The log probability of all tokens together, `</s>` counted."""
        mean = self.log_probability / max(1, self.tokens)
        count = self.pairs - sum(map(len, self.unscored.values()))
        return (
            f"{count:,} pairs, {self.tokens:,} tokens: log probability {mean:.4f} a token,"
            f" perplexity {math.exp(min(-mean, 700.0)):.2f}"
        )

    def warnings(self, max_source_length: int | None) -> Iterator[str]:
        """One sentence for each kind of line that was not scored as it is."""
        for reason, numbers in self.unscored.items():
            yield f"{_lines(numbers)} no score, for {reason.value}"
        if self.long:
            yield (
                f"{_lines(self.long)} a source of more than {max_source_length} tokens, which was"
                " scored as a whole; `s2s translate` splits or truncates it"
            )
        if self.changed:
            number, text = self.changed[0]
            yield (
                f"{_lines([number for number, _ in self.changed])} a translation that the tokens"
                f" of the run do not give back as it is; line {number:,} was scored as {text!r}"
            )


def _lines(numbers: Sequence[int]) -> str:
    """How many lines have something, and the first of them."""
    first = f"(the first is line {numbers[0]:,})"
    return f"1 line {first} has" if len(numbers) == 1 else f"{len(numbers):,} lines {first} have"


def _differences_of(config: ResolvedConfig) -> Iterator[str]:
    """Why `s2s translate --scores` gives other scores with the settings of this run."""
    decoding, names = config.decoding, []
    if decoding.precision != "float32":
        names.append(f"decoding.precision {decoding.precision}")
    if decoding.shortlist is not None:
        names.append(f"decoding.shortlist {decoding.shortlist}")
    if names:
        yield (
            "scores are computed in float32 and over the whole vocabulary; this run translates with"
            f" {' and '.join(names)}, so the scores of `s2s translate` differ"
        )
