"""Tests of the order of waiting work between callers, and of their shares of a limit."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import ExitStack

import numpy as np
import pytest

import mien
from mien_models.registry import ANSWERS
from mien_orchestrator.pipeline.admission.admission import Admission
from mien_orchestrator.pipeline.admission.fair_executor import FairExecutor
from mien_orchestrator.pipeline.admission.fair_queue import FairQueue, PriorityQueues
from mien_orchestrator.pipeline.admission.shared_limit import SharedLimit
from mien_orchestrator.pipeline.backend import LOW_PRIORITY, Prediction
from mien_orchestrator.pipeline.batching import Batcher
from mien_orchestrator.pipeline.circuit_breaker import CircuitBreaker

LONG = 1e9


def test_callers_take_turns_and_each_keeps_its_order() -> None:
    queue: FairQueue[str] = FairQueue()
    for caller, count in (("a", 5), ("b", 2), ("c", 1)):
        for number in range(count):
            queue.push(caller, f"{caller}{number}")
    assert [queue.pop() for _ in range(8)] == ["a0", "b0", "c0", "a1", "b1", "a2", "a3", "a4"]


def test_a_caller_that_comes_late_is_next_however_long_the_queue() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(100):
        queue.push("a", f"a{number}")
    assert [queue.pop() for _ in range(10)] == [f"a{number}" for number in range(10)]
    queue.push("b", "b0")
    assert queue.pop() == "b0"
    queue.push("b", "b1")
    assert [queue.pop() for _ in range(3)] == ["a10", "b1", "a11"]


def test_costly_work_counts_more() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(3):
        queue.push("a", f"a{number}", cost=10)
    for number in range(20):
        queue.push("b", f"b{number}", cost=1)
    order = [queue.pop() for _ in range(23)]
    assert order.index("a1") - order.index("a0") == 11


def test_who_was_idle_saves_nothing() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(50):
        queue.push("a", f"a{number}")
        queue.pop()
    for number in range(4):
        queue.push("b", f"b{number}")
        queue.push("a", f"a{50 + number}")
    assert [queue.pop()[0] for _ in range(8)] in (list("babababa"), list("abababab"))


def test_a_discarded_item_leaves_the_queue() -> None:
    queue: FairQueue[str] = FairQueue()
    items = [f"a{number}" for number in range(5)]
    for item in items:
        queue.push("a", item)
    queue.discard(items[2])
    queue.discard("unknown")
    assert sorted(queue) == ["a0", "a1", "a3", "a4"]
    assert [queue.pop() for _ in range(len(queue))] == ["a0", "a1", "a3", "a4"]


def test_the_queue_forgets_callers_that_are_gone() -> None:
    queue: FairQueue[int] = FairQueue()
    queue.push("busy", 0)
    for number in range(1000):
        queue.push(f"caller {number}", number)
        queue.push("busy", number)
        queue.pop()
        queue.pop()
    assert len(queue._ends) < 10


def test_only_what_a_caller_has_besides_is_of_low_priority() -> None:
    queues: PriorityQueues[str] = PriorityQueues()
    for caller, item in (("a", "a0"), ("a", "a1"), ("b", "b0"), ("", "x0"), ("", "x1")):
        queues.push(caller, item)
    assert [queues.first.pop() for _ in range(4)] == ["a0", "b0", "x0", "x1"]
    assert [queues.further.pop()] == ["a1"]
    queues.finished("a")
    assert queues.push("a", "a2") is queues.further
    queues.finished("a")
    queues.finished("a")
    assert queues.push("a", "a3") is queues.first


def test_the_threads_run_callers_in_turns() -> None:
    order: list[str] = []
    free, go = threading.Event(), threading.Event()

    def work(name: str) -> Callable[[], None]:
        return lambda: order.append(name)

    with FairExecutor(1, "test") as pool:
        held = [pool.submit_for("a", free.wait), pool.submit_for("b", free.wait)]  # what follows is of low priority
        held.append(pool.submit_for("a", go.wait))
        waiting = [pool.submit_for("a", work(f"a{number}")) for number in range(4)]
        waiting.append(pool.submit_for("b", work("b0")))
        waiting[1].cancel()
        go.set()
        for each in waiting[2:]:
            each.result(10)
        free.set()
        for each in held:
            each.result(10)
    assert order == ["a0", "b0", "a2", "a3"]


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux")
def test_further_work_runs_at_low_priority() -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    free = threading.Event()
    with FairExecutor(2, "test") as pool:
        first = pool.submit_for("a", free.wait)
        further, other = pool.submit_for("a", niceness), pool.submit_for("b", niceness)
        assert further.result(10) == other.result(10) + 10
        free.set()
        assert first.result(10)


def test_the_threads_pass_errors_on_and_cancel_what_waits_at_the_end() -> None:
    free = threading.Event()
    pool = FairExecutor(1, "test")
    failing = pool.submit_for("a", lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        failing.result(10)
    started = threading.Event()
    running = pool.submit_for("a", lambda: started.set() or free.wait())
    waiting = pool.submit_for("b", free.wait)
    assert started.wait(10)
    pool.shutdown(wait=False, cancel_futures=True)
    free.set()
    assert running.result(10)
    with pytest.raises(CancelledError):
        waiting.result(10)


async def test_a_call_for_a_caller_with_nothing_else_waits_for_no_flood() -> None:
    calls: list[tuple[list[int], bool]] = []
    go = asyncio.Event()

    async def call(tasks: object, crops: np.ndarray, deadline: float) -> Prediction:
        calls.append((crops[:, 0, 0, 0].tolist(), LOW_PRIORITY.get()))
        await go.wait()
        values = crops[:, 0, 0, 0].astype(np.float32)
        return Prediction(dict.fromkeys(ANSWERS["age"], values), 1.0, 0.0, 0.0)

    batcher = Batcher(call, best_batch=3, slots=lambda: 2, breaker=CircuitBreaker("age", failures=3, cooldown_s=1))
    ends = asyncio.get_running_loop().time() + 60

    def predict(value: int, caller: str) -> "asyncio.Task[Prediction]":
        return asyncio.create_task(batcher.predict(["age"], np.full((1, 2, 2, 3), value, np.uint8), ends, caller))

    waiting = [predict(value, caller) for value, caller in enumerate("aaaaaaac")]
    for _ in range(3):  # the tasks, then the calls that they begin
        await asyncio.sleep(0)
    assert sorted(calls) == [([0], False), ([1], True), ([2], True), ([7], False)]
    waiting += [predict(100, "a"), predict(101, "d"), predict(102, "d"), predict(103, "")]
    await asyncio.sleep(0)
    assert len(calls) == 4
    go.set()
    await asyncio.gather(*waiting)
    assert calls[4:] == [([101, 103], False), ([3, 102, 4], True), ([5, 6, 100], True)]


def test_a_caller_leaves_room_for_others() -> None:
    limit = SharedLimit(9)
    with ExitStack() as stack:
        count = 0
        while not limit.exceeds_share("a"):
            stack.enter_context(limit.taken("a"))
            count += 1
        assert count == 6
        while not limit.exceeds_share("b"):
            stack.enter_context(limit.taken("b"))
            count += 1
        assert not limit.is_full()
        assert not limit.exceeds_share("c")
    assert limit.used == 0
    assert not limit.exceeds_share("a")


def test_calls_without_a_name_share_the_whole_limit() -> None:
    limit = SharedLimit(9)
    with ExitStack() as stack:
        for _ in range(9):
            assert not limit.is_full()
            assert not limit.exceeds_share("")
            stack.enter_context(limit.taken(""))
        assert limit.is_full()


def flooded(admission: Admission, size: int, caller: str, stack: ExitStack) -> mien.OverloadedError:
    """Send images of a caller until one is refused; return the error."""
    for _ in range(1000):
        try:
            stack.enter_context(admission.admit(size, LONG, caller))
        except mien.OverloadedError as error:
            return error
    raise AssertionError("nothing was refused")


def test_a_flood_of_one_caller_leaves_the_others_admitted() -> None:
    admission = Admission(max_requests=30, max_bytes=300)
    with ExitStack() as stack:
        error = flooded(admission, 1, "a", stack)
        assert (error.reason, error.message.partition(";")[0]) == (
            "SERVER_BUSY",
            "too many images of a are being analyzed",
        )
        assert admission.in_flight == 20
        stack.enter_context(admission.admit(1, LONG, "b"))
    with ExitStack() as stack:
        error = flooded(admission, 20, "a", stack)
        assert "the images of a take its share of the memory limit" in error.message
        stack.enter_context(admission.admit(50, LONG, "b"))


def test_the_wait_that_is_expected_is_that_of_the_callers_turn() -> None:
    limit = SharedLimit(100)
    with ExitStack() as stack:
        for caller, count in (("a", 20), ("b", 3), ("c", 1)):
            for _ in range(count):
                stack.enter_context(limit.taken(caller))
        assert limit.ahead("new") == 3
        assert limit.ahead("b") == 3 + 4 + 1
        assert limit.ahead("a") == 20 + 3 + 1
        assert limit.ahead("") == 3
