"""`s2s evaluate`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2s_cli.cli import console, options
from s2s_cli.cli.process import start_tensorflow
from s2s_cli.config.schema import Decoding

if TYPE_CHECKING:
    from s2s_cli.cli.systems import System
    from s2s_cli.evaluation.breakdown import WordCounts
    from s2s_cli.evaluation.metrics import Scoring


@options.with_section_options(Decoding, options.DECODING_PANEL, without=["n_best"])
def evaluate(
    run_or_file: Annotated[str, typer.Argument(metavar="RUN_OR_FILE", help=options.SYSTEM_HELP)],
    reference: options.References,
    source: options.Source = None,
    bleu_tokenizer: options.BleuTokenizer = None,
    lowercase: options.Lowercase = False,
    resamples: Annotated[
        int,
        typer.Option(
            min=0, help="Bootstrap samples from which 95% intervals are estimated; 0: no intervals."
        ),
    ] = 1000,
    comet: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Score with this COMET model too, such as Unbabel/wmt22-comet-da; needs --source"
            " and the package unbabel-comet.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
    ensemble: options.Ensemble = None,
    checkpoint: options.Checkpoint = "best",
    threads: options.Threads = None,
    overrides: dict[str, Any] | None = None,
) -> None:
    """Score a run or a file of translations on a test set: BLEU, chrF and TER, with intervals."""
    from s2s_cli.cli.evaluation_report import report_lines
    from s2s_cli.cli.systems import (
        missing,
        open_systems,
        read_test_set,
        scoring_of,
        warn_of_tokenizer,
    )
    from s2s_cli.evaluation.comet import Comet
    from s2s_cli.evaluation.evaluate import evaluate, record_evaluation

    if comet is not None and source is None:
        raise missing("option '--source'")
    (system,) = open_systems([run_or_file], checkpoint, overrides or {}, ensemble or ())
    test_set = read_test_set([system], source, reference)
    scoring = scoring_of([system], test_set, bleu_tokenizer, lowercase)
    comet_model = Comet(comet) if comet else None
    if system.run:
        start_tensorflow(threads)
    translated = system.translate(test_set)
    evaluation = evaluate(
        translated.texts,
        test_set,
        scoring,
        resamples=resamples,
        known=_training_words(system, scoring),
        others=[comet_model(translated.texts, test_set)] if comet_model else (),
    )
    record = None
    if system.run:
        record = record_evaluation(
            system.run,
            checkpoint,
            str(source),
            test_set,
            translated,
            evaluation,
            ensemble=system.ensemble,
        )
    if as_json:
        console.print_line(json.dumps({**evaluation.as_json(), "record": record and str(record)}))
    else:
        console.print_report((line, None) for line in report_lines(evaluation))
    warn_of_tokenizer(evaluation.better_tokenizer, scoring.bleu_tokenizer)
    if record:
        console.say(f"sources, references and translations: {record}")


def _training_words(system: System, scoring: Scoring) -> WordCounts | None:
    """How often each word is in the training targets, None for a file or where they are gone."""
    from s2s_cli.evaluation.breakdown import training_words

    if system.run is None:
        return None
    with console.Meter("counting words", None, "sentence") as meter:
        return training_words(system.run, scoring, meter.add)
