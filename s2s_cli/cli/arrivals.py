"""Sentences of a pipe, in chunks that are translated together, as they arrive."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator

# Seconds to wait for more lines after the first of a chunk: a program that writes several lines
# does so within this time.
PAUSE = 0.02


def arrived_chunks(sentences: Iterator[str], size: int) -> Iterator[list[str]]:
    """The sentences in lists of those that have arrived, `size` at most, without waiting for more.

    A thread reads them. What it raises is raised here, after the sentences before it.
    """
    arrived: queue.Queue[str | BaseException] = queue.Queue(size)

    def read() -> None:
        try:
            for sentence in sentences:
                arrived.put(sentence)
            arrived.put(StopIteration())
        except BaseException as error:
            arrived.put(error)

    threading.Thread(target=read, daemon=True).start()
    while True:
        chunk, ended = _next_chunk(arrived, size)
        if chunk:
            yield chunk
        if isinstance(ended, StopIteration):
            return
        if ended is not None:
            raise ended


def _next_chunk(
    arrived: queue.Queue[str | BaseException], size: int
) -> tuple[list[str], BaseException | None]:
    """Waits for a sentence; returns it and those behind it, and what ended the reading, if it did."""
    item = arrived.get()
    until = time.monotonic() + PAUSE
    chunk: list[str] = []
    while True:
        if isinstance(item, BaseException):
            return chunk, item
        chunk.append(item)
        if len(chunk) == size:
            return chunk, None
        try:
            item = arrived.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            return chunk, None
