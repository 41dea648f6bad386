"""Sentences of concurrent requests, translated together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

Translate = Callable[[Sequence[str]], Sequence[Any]]


class QueueIsFullError(Exception):
    """More sentences wait than may wait."""


class Queue:
    """How many sentences wait or are being translated, by all batchers together."""

    def __init__(self, limit: int):
        self.limit, self.size = limit, 0

    def enter(self, count: int) -> None:
        """Takes room for sentences. Raises QueueIsFullError."""
        # A request that finds the queue empty is never too large for it.
        if self.size and self.size + count > self.limit:
            raise QueueIsFullError
        self.size += count

    def leave(self) -> None:
        """Gives back the room of one sentence."""
        self.size -= 1


@dataclass(frozen=True)
class _Job:
    sentence: str
    found: asyncio.Future[Any]


class Batcher:
    """Translates with one function, in one thread.

    Sentences that come while a batch is translated are the next batch. One that makes the function
    fail fails alone: the others of its batch are translated one by one.
    """

    def __init__(
        self,
        translate: Translate,
        executor: ThreadPoolExecutor,
        queue: Queue,
        *,
        batch: int,
        wait_seconds: float,
        on_batch: Callable[[int], None] = lambda count: None,
    ):
        self._translate, self._executor, self._queue = translate, executor, queue
        self._batch, self._wait_seconds, self._on_batch = batch, wait_seconds, on_batch
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()

    async def translate(self, sentences: Sequence[str]) -> list[Any]:
        """What the function makes of each sentence. Raises QueueIsFullError, and what it raises.

        Where this is cancelled, sentences that are not yet in a batch are dropped.
        """
        self._queue.enter(len(sentences))
        loop = asyncio.get_running_loop()
        jobs = [_Job(sentence, loop.create_future()) for sentence in sentences]
        for job in jobs:
            job.found.add_done_callback(lambda _: self._queue.leave())
            self._jobs.put_nowait(job)
        try:
            return list(await asyncio.gather(*(job.found for job in jobs)))
        finally:
            for job in jobs:
                job.found.cancel()

    async def run(self) -> None:
        """Translates what comes, until this is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            jobs = [job for job in await self._next_jobs() if not job.found.done()]
            if not jobs:
                continue
            self._on_batch(len(jobs))
            sentences = [job.sentence for job in jobs]
            results = await loop.run_in_executor(self._executor, self._attempt, sentences)
            for job, result in zip(jobs, results, strict=True):
                if job.found.done():  # its client has left
                    continue
                if isinstance(result, Exception):
                    job.found.set_exception(result)
                else:
                    job.found.set_result(result)

    async def _next_jobs(self) -> list[_Job]:
        jobs = [await self._jobs.get()]
        if self._jobs.empty():
            await asyncio.sleep(self._wait_seconds)
        while len(jobs) < self._batch and not self._jobs.empty():
            jobs.append(self._jobs.get_nowait())
        return jobs

    def _attempt(self, sentences: Sequence[str]) -> Sequence[Any]:
        """What becomes of each sentence: a translation or an exception."""
        try:
            return self._translate(sentences)
        except Exception as error:
            if len(sentences) == 1:
                return [error]
            return [self._attempt([sentence])[0] for sentence in sentences]
