"""Tests of the frame queue: it pushes back, or keeps the latest frame and counts the others."""

import asyncio

import pytest

from mien_orchestrator.pipeline.video.flow import WAITING, ByteBudget, FrameQueue


async def test_none_waits_for_room_and_loses_no_frame() -> None:
    queue: FrameQueue[int] = FrameQueue(latest=False)
    sent: list[int] = []

    async def send() -> None:
        for number in range(10):
            await queue.put(number)
            sent.append(number)
        await queue.end()

    sender = asyncio.create_task(send())
    for _ in range(50):  # turns of the event loop, in each of which the sender could go on
        await asyncio.sleep(0)
    assert len(sent) == WAITING
    received = []
    while (item := await queue.get()) is not None:
        received.append(item)
    await sender
    assert received == [(number, 0) for number in range(10)]


async def test_latest_keeps_the_last_frame_and_counts_the_others() -> None:
    queue: FrameQueue[int] = FrameQueue(latest=True)
    for number in range(5):
        await queue.put(number)
    assert await queue.get() == (4, 4)
    await queue.put(5)
    await queue.end()
    assert await queue.get() == (5, 0)
    assert await queue.get() is None


async def test_an_error_follows_the_frames_that_wait() -> None:
    queue: FrameQueue[int] = FrameQueue(latest=False)
    await queue.put(1)
    await queue.end(ValueError("late"))
    assert await queue.get() == (1, 0)
    with pytest.raises(ValueError, match="late"):
        await queue.get()


async def test_the_bytes_of_all_streams_are_bounded_and_a_frame_of_more_may_be_alone() -> None:
    budget = ByteBudget(100)
    assert budget.try_take(60)
    assert not budget.try_take(50)
    waiting = asyncio.create_task(budget.take(50))
    await asyncio.sleep(0)
    assert not waiting.done()
    budget.give(60)
    await waiting
    budget.give(50)
    assert budget.try_take(500)
    assert not budget.try_take(1)


async def test_dropped_frames_are_returned_to_be_freed() -> None:
    queue: FrameQueue[int] = FrameQueue(latest=True)
    assert await queue.put(1) == []
    assert await queue.put(2) == [1]
    queue.drop()
    assert await queue.get() == (2, 2)
    await queue.put(3)
    assert queue.close() == [3]
    assert await queue.put(4) == [4]
