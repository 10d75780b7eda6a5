"""Hedged calls: a late or failed worker is replaced by another, within a budget."""

import asyncio

import pytest

import mien
from mien_orchestrator.cluster.hedging import Hedge


class Worker:
    """A worker that answers when it is let go, or fails."""

    def __init__(self, name: str, *, answers: bool = True, error: Exception | None = None) -> None:
        self.name, self.error, self.calls, self.cancelled = name, error, 0, 0
        self.go = asyncio.Event()
        if answers:
            self.go.set()

    async def call(self) -> str:
        self.calls += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error:
            raise self.error
        return self.name


async def test_a_prompt_worker_is_called_alone() -> None:
    first, second = Worker("first"), Worker("second")
    assert await Hedge().call(first.call, second.call) == ("first", False)
    assert second.calls == 0


async def test_a_late_worker_is_replaced_and_its_call_cancelled() -> None:
    first, second = Worker("first", answers=False), Worker("second")
    assert await Hedge().call(first.call, second.call) == ("second", True)
    await asyncio.sleep(0)
    assert first.cancelled == 1


async def test_a_worker_that_is_down_is_replaced_at_once() -> None:
    first, second = Worker("first", error=mien.ServerUnavailableError("down")), Worker("second")
    hedge = Hedge()
    for _ in range(20):
        assert await hedge.call(first.call, second.call) == ("second", True)


async def test_an_invalid_request_is_not_repeated() -> None:
    first, second = Worker("first", error=mien.InvalidRequestError("wrong")), Worker("second")
    with pytest.raises(mien.InvalidRequestError):
        await Hedge().call(first.call, second.call)
    assert second.calls == 0


async def test_the_last_error_is_raised_if_both_fail() -> None:
    down = mien.ServerUnavailableError("down")
    first, second = Worker("first", error=down), Worker("second", error=mien.ServerUnavailableError("down, too"))
    with pytest.raises(mien.ServerUnavailableError, match="down, too"):
        await Hedge().call(first.call, second.call)
    assert (first.calls, second.calls) == (1, 1)


async def test_without_another_worker_the_first_decides() -> None:
    first = Worker("first", error=mien.ServerUnavailableError("down"))
    with pytest.raises(mien.ServerUnavailableError):
        await Hedge().call(first.call, None)


async def test_extra_calls_stay_within_the_budget() -> None:
    hedge, second = Hedge(), Worker("second")
    late = [Worker("late", answers=False) for _ in range(30)]
    calls = [asyncio.create_task(hedge.call(worker.call, second.call)) for worker in late]
    done, waiting = await asyncio.wait(calls, timeout=1)
    assert 5 <= len(done) <= 8
    assert second.calls == len(done)
    for worker in late:
        worker.go.set()
    await asyncio.gather(*waiting)
