"""`s2s check`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from s2s_cli.cli import console, options
from s2s_cli.errors import ConfigError


def check(
    config_file: options.ConfigFile,
    settings: options.Settings = None,
    test_source: Annotated[str | None, typer.Option(help="Source sentences of a test set.")] = None,
    test_target: Annotated[str | None, typer.Option(help="Their translations.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
    threads: options.Threads = None,
) -> None:
    """Find problems in the corpora of a config; exit code 1 where training would fail."""
    from s2s_cli.checks.check import bytes_to_read, check
    from s2s_cli.cli.check_report import report_lines
    from s2s_cli.config.load import load_config
    from s2s_cli.config.schema import Files

    if (test_source is None) != (test_target is None):
        raise ConfigError(
            "--test-source and --test-target belong together.", "Give both of them or neither."
        )
    test = Files(source=test_source, target=test_target) if test_source else None
    config = load_config(config_file, tuple(settings or ()))
    with console.Meter("checking", bytes_to_read(config, test), "B") as meter:
        report = check(config, test, threads=options.thread_count(threads), progress=meter.move_to)
    if as_json:
        console.print_line(json.dumps(asdict(report)))
    else:
        console.print_report(report_lines(report))
    if not report.passes:
        raise typer.Exit(1)
