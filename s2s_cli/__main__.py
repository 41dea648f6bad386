"""The program: `s2s`, or `python -m s2s_cli`."""

from __future__ import annotations

import os
import sys

from s2s_cli.cli import BROKEN_PIPE, main


def run() -> None:
    """Runs the command line and ends the process at once: to take TensorFlow apart piece by
    piece would take 0.4 s."""
    code: object = 0
    try:
        main()
    except SystemExit as leaving:
        code = leaving.code
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads on, as with `| head`
        code = BROKEN_PIPE
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    run()
