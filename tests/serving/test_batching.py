"""Sentences of concurrent requests become batches; one that fails, fails alone."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from s2s_cli.serving.batching import Batcher, Queue, QueueIsFullError


def batched(requests, translate, *, limit: int = 100, batch: int = 8) -> tuple[list, list[int]]:
    """What becomes of requests that come at once, and the sizes of the batches."""
    sizes: list[int] = []

    async def run() -> list:
        queue = Queue(limit)
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(
                translate, executor, queue, batch=batch, wait_seconds=0.01, on_batch=sizes.append
            )
            task = asyncio.create_task(batcher.run())
            waiting = [batcher.translate(one) for one in requests]
            found = await asyncio.gather(*waiting, return_exceptions=True)
            task.cancel()
        assert queue.size == 0
        return found

    return asyncio.run(run()), sizes


def upper(sentences) -> list[str]:
    if "bad" in sentences:
        raise ValueError("bad")
    return [sentence.upper() for sentence in sentences]


def test_concurrent_requests_are_one_batch_and_large_ones_are_several():
    found, sizes = batched([["a"], ["b", "c"], []], upper)
    assert (found, sizes) == ([["A"], ["B", "C"], []], [3])
    found, sizes = batched([list("abcdefghij"), ["k"]], upper, batch=4)
    assert (found, sizes) == ([list("ABCDEFGHIJ"), ["K"]], [4, 4, 3])


def test_a_sentence_that_fails_fails_alone():
    found, _ = batched([["a"], ["b", "bad"], ["c"]], upper)
    assert (found[0], found[2]) == (["A"], ["C"])
    assert isinstance(found[1], ValueError)


def test_a_full_queue_refuses_and_an_empty_one_never_does():
    found, _ = batched([["a", "b"], ["c", "d"], ["e"]], upper, limit=3)
    assert found[0] == ["A", "B"] and found[2] == ["E"]
    assert isinstance(found[1], QueueIsFullError)
    assert batched([["a"] * 9], upper, limit=3)[0] == [["A"] * 9]


def test_what_a_client_gave_up_is_not_translated():
    seen: list[str] = []

    def slow(sentences) -> list[str]:
        seen.extend(sentences)
        return list(sentences)

    async def run() -> None:
        queue = Queue(10)
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(slow, executor, queue, batch=1, wait_seconds=0)
            left = asyncio.create_task(batcher.translate(["left", "too"]))
            stays = asyncio.create_task(batcher.translate(["stays"]))
            await asyncio.sleep(0)
            left.cancel()
            with pytest.raises(asyncio.CancelledError):
                await left
            task = asyncio.create_task(batcher.run())
            assert await stays == ["stays"]
            task.cancel()
        assert queue.size == 0

    asyncio.run(run())
    assert seen == ["stays"]
