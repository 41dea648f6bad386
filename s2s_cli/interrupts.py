"""SIGINT and SIGTERM ask a training to stop in order."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator

from s2s_cli import console

INTERRUPTED = 130


class Stop:
    """What SIGINT and SIGTERM have asked for.

    A thread hears of them, as Python's own handlers run only between two instructions of
    the interpreter, and learning a vocabulary or compiling a step is one instruction.
    """

    def __init__(self) -> None:
        self.can_save = False
        self._requested = False

    def was_requested(self) -> bool:
        """Whether to stop in order."""
        return self._requested

    def watch(self, signals: socket.socket) -> None:
        """Reacts to signals until the socket is closed.

        The first one asks for an orderly stop, where there is something to save. Where
        there is not, and at a second one, the process ends at once: what is on disk is
        whole at every moment.
        """
        while signals.recv(1):
            if self._requested or not self.can_save:
                console.stopped(self._requested)
                os._exit(INTERRUPTED)
            self._requested = True
            console.stopping()


@contextlib.contextmanager
def stop_signals() -> Iterator[Stop]:
    """Handles SIGINT and SIGTERM as long as a training goes on."""
    stop = Stop()
    listening, written = socket.socketpair()
    written.setblocking(False)
    numbers = (signal.SIGINT, signal.SIGTERM)
    # A handler must be set, or the signal ends the process before anybody hears of it.
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    signal.set_wakeup_fd(written.fileno())
    watcher = threading.Thread(target=stop.watch, args=[listening], daemon=True)
    watcher.start()
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        written.close()
        watcher.join()
        listening.close()
