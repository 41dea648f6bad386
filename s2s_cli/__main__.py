"""The program: `s2s`, or `python -m s2s_cli`."""

from __future__ import annotations

from s2s_cli.cli.app import main
from s2s_cli.cli.process import run_and_exit


def run() -> None:
    """Runs the command line and ends the process."""
    run_and_exit(main)


if __name__ == "__main__":
    run()
