"""Settings and signal handlers of the program's own process.

All of this changes the whole process, so only the program does it; the library never does.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from s2s_cli.cli import console

if TYPE_CHECKING:
    from s2s_cli.runtime.cluster import Cluster
    from s2s_cli.runtime.workers import Workers

INTERRUPTED = 130
BROKEN_PIPE = 128 + 13  # the exit code of a program that SIGPIPE ends

# Parameters of mallopt(3), from <malloc.h>.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3


def run_and_exit(main: Callable[[], int]) -> NoReturn:
    """Runs `main` and ends the process with the exit code that it returns.

    The process ends at once: destroying TensorFlow's objects one by one would take 0.4 s.
    """
    open_closed_streams()
    reuse_freed_memory()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _exit_on_signal)
    try:
        code = main()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the reader is gone, as with `| head`
        code = BROKEN_PIPE
    sys.stderr.flush()
    os._exit(code)


def open_closed_streams() -> None:
    """Opens the null device in place of each standard stream that the caller has closed.

    Otherwise the next file that is opened would be that stream: messages would go into it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # It gets the lowest number that is free, which is that of the closed stream.
            stream = open(os.devnull, mode, encoding="utf-8")
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    """Raises SystemExit, so that temporary files are removed."""
    sys.exit(INTERRUPTED)


def reuse_freed_memory() -> None:
    """Makes glibc reuse large blocks instead of returning them to the system.

    A training step allocates and frees hundreds of megabytes; having the system map their pages
    again took a fifth of its time. Other C libraries have no such setting.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 32 << 20)
        mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
        mallopt(M_TOP_PAD, 256 << 20)


@contextlib.contextmanager
def imports_without_collection() -> Iterator[None]:
    """Turns garbage collection off during imports, and excludes what they made from it.

    Importing TensorFlow makes some hundred thousand objects that stay alive; searching them
    again and again for garbage takes a sixth of the import time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def start_tensorflow(
    threads: int | None,
    *,
    inter_op_threads: int | None = None,
    deterministic: bool = False,
    cluster: Cluster | None = None,
) -> Workers:
    """Imports TensorFlow for a command of the program; see `s2s_cli.runtime.start`."""
    with imports_without_collection():
        from s2s_cli import runtime

        return runtime.start(
            threads,
            inter_op_threads=inter_op_threads,
            deterministic=deterministic,
            cluster=cluster,
        )


class Stop:
    """What SIGINT and SIGTERM have requested of a training.

    A thread reads the signals: Python's own handlers run only between two instructions of the
    interpreter, and learning a vocabulary or compiling a step is one instruction.
    """

    def __init__(self) -> None:
        self.can_save = False
        self._requested = False

    def was_requested(self) -> bool:
        """Whether the training shall save and stop."""
        return self._requested

    def watch(self, signals: socket.socket) -> None:
        """Reacts to signals until the other end of the socket is closed.

        The first signal requests a stop after the current step, if there is something to save.
        If there is not, and at a second signal, the process ends at once: the files on disk are
        complete at every moment.
        """
        while signals.recv(1):
            if self._requested or not self.can_save:
                console.stopped(while_stopping=self._requested)
                os._exit(INTERRUPTED)
            self._requested = True
            console.stopping()


@contextlib.contextmanager
def stop_signals() -> Iterator[Stop]:
    """Turns SIGINT and SIGTERM into a request to stop, for as long as a training runs."""
    stop = Stop()
    listening, written = socket.socketpair()
    written.setblocking(False)
    numbers = (signal.SIGINT, signal.SIGTERM)
    # Without a handler, the signal would end the process before the thread reads it.
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
