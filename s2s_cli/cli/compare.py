"""`s2s compare`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from s2s_cli.cli import console, options
from s2s_cli.cli.process import start_tensorflow
from s2s_cli.config.schema import Decoding


@options.with_section_options(Decoding, options.DECODING_PANEL, without=["n_best"])
def compare(
    runs_or_files: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN_OR_FILE...", help=f"The baseline and others. {options.SYSTEM_HELP}"
        ),
    ],
    reference: options.References,
    source: options.Source = None,
    bleu_tokenizer: options.BleuTokenizer = None,
    lowercase: options.Lowercase = False,
    show: Annotated[
        int, typer.Option(min=0, help="Sentences to show that differ most from the baseline's.")
    ] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
    checkpoint: options.Checkpoint = "best",
    threads: options.Threads = None,
    overrides: dict[str, Any] | None = None,
) -> None:
    """Compare systems with the first: scores, their significance, and sentences side by side."""
    from s2s_cli.cli.comparison_report import report_lines
    from s2s_cli.cli.systems import (
        missing,
        open_systems,
        read_test_set,
        scoring_of,
        warn_of_tokenizer,
    )
    from s2s_cli.evaluation.compare import compare, number_of_tests
    from s2s_cli.text.scripts import better_bleu_tokenizer

    if len(runs_or_files) < 2:
        raise missing("argument 'RUN_OR_FILE': name a baseline and at least one other")
    systems = open_systems(runs_or_files, checkpoint, overrides or {})
    test_set = read_test_set(systems, source, reference)
    scoring = scoring_of(systems, test_set, bleu_tokenizer, lowercase)
    if any(system.run for system in systems):
        start_tensorflow(threads)
    translated = [(system.name, system.translate(test_set).texts) for system in systems]
    with console.Meter("testing significance", number_of_tests(scoring), "test") as meter:
        comparison = compare(translated, test_set, scoring, show=show, on_test=meter.add)
    if as_json:
        console.print_line(json.dumps(comparison.as_json()))
    else:
        console.print_report((line, None) for line in report_lines(comparison))
    better = better_bleu_tokenizer(test_set.references[0], scoring.bleu_tokenizer)
    warn_of_tokenizer(better, scoring.bleu_tokenizer)
