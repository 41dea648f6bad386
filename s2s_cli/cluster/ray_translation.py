"""Blocks of a file translated by Ray actors, each with a translator that stays loaded."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

from s2s_cli.cluster.blocks import Block, Parts
from s2s_cli.errors import S2SError

# Blocks that an actor has or waits for: while it translates one, the next is on its way.
BLOCKS_AN_ACTOR = 2

# block → its output lines, and the numbers of lines by kind of warning.
TranslateBlock = Callable[[Block], tuple[list[str], Mapping[str, list[int]]]]


def translate_with_ray(
    ray: ModuleType,
    start: Callable[[], TranslateBlock],
    parts: Parts,
    blocks: Iterable[Block],
    *,
    actors: int,
    threads: int,
    on_done: Callable[[int], None],
) -> None:
    """Translates blocks and writes their parts; `on_done` is given the sentences of each.

    `start` is called once in each actor, which has so many `threads`. An actor that dies is
    started again and has lost its block, which is translated again. Raises S2SError.
    """
    actor_class = ray.remote(num_cpus=threads, max_restarts=-1, max_task_retries=-1)(_Actor)
    pool = [actor_class.remote(start, parts) for _ in range(actors)]
    waiting = iter(blocks)
    pending: dict[Any, tuple[Any, int]] = {}

    def submit(actor: Any) -> None:
        for block in itertools.islice(waiting, 1):
            pending[actor.translate.remote(block)] = actor, len(block.sentences)

    for actor in pool * BLOCKS_AN_ACTOR:
        submit(actor)
    while pending:
        (finished,), _ = ray.wait(list(pending), num_returns=1)
        actor, sentences = pending.pop(finished)
        try:
            ray.get(finished)
        except S2SError as problem:
            # Ray's own class of it has a traceback for a message.
            raise S2SError(*_of(problem)) from None
        except ray.exceptions.RayError as error:
            raise S2SError(
                f"Ray could not translate a block: {str(error).splitlines()[0]}",
                "What is finished stays; the same command goes on with the rest.",
            ) from None
        on_done(sentences)
        submit(actor)


def _of(problem: S2SError) -> tuple[str, str]:
    cause = getattr(problem, "cause", problem)
    return cause.message, cause.hint


class _Actor:
    """A translator that stays loaded, on some machine of the cluster."""

    def __init__(self, start: Callable[[], TranslateBlock], parts: Parts):
        self._translate, self._parts = start(), parts

    def translate(self, block: Block) -> None:
        """Translates a block and writes its part."""
        self._parts.write(block, *self._translate(block))
