"""SIGINT and SIGTERM ask a training to stop in order."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

from s2s_cli import console


class Stop:
    """What SIGINT and SIGTERM have asked for."""

    def __init__(self) -> None:
        self.can_save = False
        self._requested = False

    def was_requested(self) -> bool:
        """Whether to stop in order."""
        return self._requested

    def handle(self, number: int, frame: Any) -> None:
        """The first signal asks for an orderly stop, where there is something to save."""
        if self._requested or not self.can_save:
            raise KeyboardInterrupt
        self._requested = True
        console.stopping()


@contextlib.contextmanager
def stop_signals() -> Iterator[Stop]:
    """Handles SIGINT and SIGTERM as long as a training goes on."""
    stop = Stop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, stop.handle) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
