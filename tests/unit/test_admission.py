"""Tests of admission control and of its errors."""

import asyncio
import time

import pytest

import mien
from mien_orchestrator.pipeline.admission.admission import Admission

LONG = 1e9


def test_images_are_bounded_by_count_and_by_bytes() -> None:
    admission = Admission(max_requests=2, max_bytes=100)
    with admission.admit(60, LONG):
        with pytest.raises(mien.OverloadedError, match="exceed the memory limit") as caught:
            admission.admit(60, LONG).__enter__()
        assert caught.value.reason == "SERVER_BUSY"
        assert caught.value.retry_after is not None
        with admission.admit(40, LONG), pytest.raises(mien.OverloadedError, match="too many images"):
            admission.admit(0, LONG).__enter__()
        assert admission.in_flight == 1
    assert admission.in_flight == 0
    with admission.admit(1000, LONG):  # alone
        pass


def test_a_failed_image_releases_its_slot() -> None:
    admission = Admission(max_requests=1, max_bytes=100)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), admission.admit(60, LONG):
            raise ZeroDivisionError
    assert admission.in_flight == 0


async def test_a_request_that_cannot_finish_in_time_is_rejected_at_once() -> None:
    """One worker that takes 20 ms per image: of 40 requests with 200 ms each, the admitted ones finish in time."""
    admission = Admission(max_requests=1000, max_bytes=1000)
    worker = asyncio.Lock()

    async def call(budget: float) -> str:
        arrived = time.monotonic()
        try:
            with admission.admit(1, budget):
                async with worker:
                    await asyncio.sleep(0.02)
        except mien.OverloadedError as error:
            at_once = error.retry_after is not None and time.monotonic() - arrived < 0.1
            return "refused" if at_once else "refused late"
        return "in time" if time.monotonic() - arrived <= budget else "late"

    for _ in range(5):
        assert await call(LONG) == "in time"
    message = await asyncio.gather(*(call(0.2) for _ in range(40)))
    assert message.count("in time") >= 4
    assert message.count("refused") >= 25
    assert message.count("late") <= 3
    assert await asyncio.gather(*(call(LONG) for _ in range(10))) == ["in time"] * 10


def wait_of(admission: Admission, budget: float) -> float:
    with pytest.raises(mien.OverloadedError) as refused:
        admission.check(budget)
    assert refused.value.retry_after is not None
    return refused.value.retry_after


async def test_the_suggested_delay_grows_with_the_rejections_per_answer() -> None:
    """Callers that cannot be answered in time give up at once, instead of returning to be rejected again."""

    async def wait_after_crowds(count: int, rejections: int) -> float:
        """Let so many crowds of four images come, each with some rejections; return the last delay."""
        wait = 0.0
        for _ in range(count):
            with admission.admit(1, LONG), admission.admit(1, LONG), admission.admit(1, LONG), admission.admit(1, LONG):
                await asyncio.sleep(0.1)
                wait = [wait_of(admission, -1.0) for _ in range(rejections)][-1]
        return wait

    admission = Admission(max_requests=1000, max_bytes=1000)
    usual = await wait_after_crowds(8, 1)
    overloaded = await wait_after_crowds(8, 30)
    assert overloaded > 2 * usual
    assert await wait_after_crowds(10, 1) < overloaded / 2
