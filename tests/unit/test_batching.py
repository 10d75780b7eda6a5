"""Tests of batching: each request gets its own result, error and timing."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import mien
from mien_models.spec import Task
from mien_orchestrator.pipeline.backend import Prediction
from mien_orchestrator.pipeline.batching import Batcher
from mien_orchestrator.pipeline.call_limit import CallLimit
from mien_orchestrator.pipeline.circuit_breaker import CircuitBreaker

BEST = 6
FAILING = 255


class Reader:
    """A model that reads its answers off the crops' first pixels, and fails at FAILING."""

    def __init__(self, turns: int = 1) -> None:
        self.turns = turns
        self.calls: list[tuple[tuple[Task, ...], int]] = []
        self.running = 0
        self.most_running = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def call(self, tasks: Sequence[Task], crops: NDArray[np.uint8], deadline: float) -> Prediction:
        self.calls.append((tuple(tasks), len(crops)))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self.gate.wait()
            for _ in range(self.turns):
                await asyncio.sleep(0)
        finally:
            self.running -= 1
        first = crops[:, 0, 0].astype(np.float32)
        if (first[:, 0] == FAILING).any():
            raise ZeroDivisionError("failing input")
        answers = {"years": first[:, 0], "low": first[:, 1], "high": first[:, 2], "p_male": first[:, 0] / 255}
        return Prediction(answers, 1.0, 0.0, 0.0)


def stack(*values: int) -> NDArray[np.uint8]:
    """Crops (N, 1, 1, 3) whose channels are the value and its neighbours."""
    return np.array([[[[value, value // 2, value // 3]]] for value in values], np.uint8)


REQUESTS = st.lists(
    st.tuples(
        st.lists(st.sampled_from([*range(0, 200, 7), FAILING]), min_size=1, max_size=2 * BEST),
        st.sets(st.sampled_from(["age", "gender"]), min_size=1),
        st.integers(0, 6),
        st.integers(0, 12) | st.none(),
    ),
    min_size=1,
    max_size=14,
)
"""Crops, tasks, loop iterations before the request arrives and after which it is cancelled."""


@given(requests=REQUESTS, slots=st.integers(1, 3), turns=st.integers(0, 5))
@settings(deadline=None, max_examples=150)
def test_each_request_in_a_batch_gets_its_own_result(
    requests: list[tuple[list[int], set[Task], int, int | None]], slots: int, turns: int
) -> None:
    async def run() -> None:
        reader = Reader(turns)
        batcher = Batcher(reader.call, best_batch=BEST, slots=lambda: slots, breaker=breaker())

        async def request(values: list[int], tasks: set[Task], wait: int, leave: int | None) -> None:
            for _ in range(wait):
                await asyncio.sleep(0)
            crops = stack(*values)
            waiting = [asyncio.ensure_future(batcher.predict(sorted(tasks), crops, deadline()))]
            if leave is not None:
                for _ in range(leave):
                    await asyncio.sleep(0)
                for future in waiting:
                    future.cancel()
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, asyncio.CancelledError):
                    assert leave is not None
                elif FAILING in values:
                    assert isinstance(outcome, ZeroDivisionError)
                else:
                    assert isinstance(outcome, Prediction), outcome
                    wanted = {"age": {"years", "low", "high"}, "gender": {"p_male"}}
                    assert outcome.answers.keys() == {name for task in tasks for name in wanted[task]}
                    if "age" in tasks:
                        assert np.allclose(outcome.answers["years"], values)
                    if "gender" in tasks:
                        assert np.allclose(outcome.answers["p_male"] * 255, values)

        await asyncio.gather(*(request(*one) for one in requests))
        for _ in range(3):
            await asyncio.sleep(0)
        assert reader.running == 0
        assert reader.most_running <= slots
        largest = max(len(values) for values, *_ in requests)
        assert all(count <= max(BEST, largest) for _, count in reader.calls)
        assert await batcher.predict(["age"], stack(3), deadline())

    asyncio.run(run())


async def test_an_idle_model_is_called_at_once_and_once_per_request() -> None:
    reader = Reader()
    batcher = Batcher(reader.call, best_batch=BEST, slots=lambda: 1, breaker=breaker())
    crops = stack(1, 2)
    await batcher.predict(["age", "gender"], crops, deadline())
    assert reader.calls == [(("age", "gender"), 2)]


async def test_requests_during_a_call_are_batched_up_to_the_best_batch() -> None:
    reader = Reader()
    reader.gate.clear()
    batcher = Batcher(reader.call, best_batch=BEST, slots=lambda: 1, breaker=breaker())
    waiting = [asyncio.ensure_future(batcher.predict(["age"], stack(*([i] * 2)), deadline())) for i in range(5)]
    await turns()
    reader.gate.set()
    predictions = await asyncio.gather(*waiting)
    assert [count for _, count in reader.calls] == [2, 6, 2] or [count for _, count in reader.calls] == [6, 4]
    assert [prediction.answers["years"].tolist() for prediction in predictions] == [[i, i] for i in range(5)]


async def test_as_many_calls_are_in_flight_as_there_are_slots() -> None:
    reader = Reader()
    reader.gate.clear()
    slots = 1
    batcher = Batcher(reader.call, best_batch=1, slots=lambda: slots, breaker=breaker())
    waiting = [asyncio.ensure_future(batcher.predict(["age"], stack(i), deadline())) for i in range(8)]
    await turns()
    assert reader.running == 1
    slots = 3  # one more replica each: the next call that ends frees a slot
    reader.gate.set()
    await asyncio.gather(*waiting)
    assert reader.most_running == 3


async def test_a_request_that_fails_the_model_fails_only_itself() -> None:
    reader = Reader()
    reader.gate.clear()
    batcher = Batcher(reader.call, best_batch=20, slots=lambda: 1, breaker=breaker())
    first = asyncio.ensure_future(batcher.predict(["age"], stack(9), deadline()))
    await turns()
    waiting = [asyncio.ensure_future(batcher.predict(["age"], stack(i), deadline())) for i in (1, 2, FAILING, 4, 5)]
    reader.gate.set()
    outcomes = await asyncio.gather(first, *waiting, return_exceptions=True)
    assert [isinstance(outcome, ZeroDivisionError) for outcome in outcomes] == [False] * 3 + [True] + [False] * 2


async def test_a_request_cancelled_while_queued_is_not_computed() -> None:
    reader = Reader()
    reader.gate.clear()
    batcher = Batcher(reader.call, best_batch=20, slots=lambda: 1, breaker=breaker())
    waiting = [asyncio.ensure_future(batcher.predict(["age"], stack(i), deadline())) for i in range(4)]
    await turns()
    extra = asyncio.ensure_future(batcher.predict(["age"], stack(7), deadline()))
    gone = asyncio.ensure_future(batcher.predict(["age"], stack(8), deadline()))
    await turns()
    gone.cancel()
    await turns()
    reader.gate.set()
    await asyncio.gather(*waiting, extra)
    assert sum(count for _, count in reader.calls) == 5


async def test_a_call_whose_requests_are_all_cancelled_is_cancelled() -> None:
    reader = Reader()
    reader.gate.clear()
    batcher = Batcher(reader.call, best_batch=20, slots=lambda: 1, breaker=breaker())
    one = asyncio.ensure_future(batcher.predict(["age"], stack(1), deadline()))
    await turns()
    assert reader.running == 1
    one.cancel()
    await turns()
    assert reader.running == 0


async def test_a_late_request_is_dropped() -> None:
    reader = Reader()
    reader.gate.clear()
    batcher = Batcher(reader.call, best_batch=1, slots=lambda: 1, breaker=breaker())
    first = asyncio.ensure_future(batcher.predict(["age"], stack(1), deadline()))
    await turns()
    late = asyncio.ensure_future(batcher.predict(["age"], stack(2), deadline(0)))
    await turns()
    reader.gate.set()
    assert (await first).answers["years"].tolist() == [1]
    with pytest.raises(mien.DeadlineExceededError):
        await late
    assert len(reader.calls) == 1


@pytest.mark.parametrize("error", [mien.ServerUnavailableError, mien.OverloadedError])
async def test_an_unavailable_model_is_not_called_again_for_each_request(error: type[mien.MienError]) -> None:
    calls = 0
    gate = asyncio.Event()

    async def call(tasks: Sequence[Task], crops: NDArray[np.uint8], deadline: float) -> Prediction:
        nonlocal calls
        calls += 1
        await gate.wait()
        raise error("the worker is down")

    batcher = Batcher(call, best_batch=20, slots=lambda: 1, breaker=breaker())
    waiting = [asyncio.ensure_future(batcher.predict(["age"], stack(1), deadline()))]
    await turns()
    waiting += [asyncio.ensure_future(batcher.predict(["age"], stack(i), deadline())) for i in range(4)]
    await turns()
    gate.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [error] * 5
    assert len({id(outcome) for outcome in outcomes}) == 5
    assert calls == 2


async def test_a_call_without_an_answer_fails_those_who_wait_and_opens_the_breaker() -> None:
    hung = asyncio.Event()

    async def call(tasks: Sequence[Task], crops: NDArray[np.uint8], deadline: float) -> Prediction:
        await hung.wait()
        raise AssertionError

    circuit = breaker()
    batcher = Batcher(call, best_batch=1, slots=lambda: 1, breaker=circuit, limit=CallLimit(0.05))
    waiting = [asyncio.ensure_future(batcher.predict(["age"], stack(i), deadline())) for i in range(5)]
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [mien.ServerUnavailableError] * 5
    assert "no answer for age within" in str(outcomes[0])
    assert circuit.is_open


async def test_one_hung_call_of_several_fails_its_own_requests_only() -> None:
    async def call(tasks: Sequence[Task], crops: NDArray[np.uint8], deadline: float) -> Prediction:
        if crops[0, 0, 0, 0] == FAILING:
            await asyncio.Event().wait()
        return await Reader().call(tasks, crops, deadline)

    circuit = breaker()
    batcher = Batcher(call, best_batch=1, slots=lambda: 2, breaker=circuit, limit=CallLimit(0.2))
    hung = asyncio.ensure_future(batcher.predict(["age"], stack(FAILING), deadline()))
    await turns()
    for value in range(20):
        await batcher.predict(["age"], stack(value), deadline())
        await asyncio.sleep(0.015)
    with pytest.raises(mien.ServerUnavailableError):
        await hung
    assert not circuit.is_open
    assert (await batcher.predict(["age"], stack(3), deadline())).answers["years"].tolist() == [3]


def test_the_limit_adapts_to_slow_models_and_large_batches() -> None:
    limit = CallLimit()
    assert limit.seconds(1) == pytest.approx(1.02)
    assert limit.seconds(100) == pytest.approx(3)
    for _ in range(100):
        limit.record(0.5)
    assert limit.seconds(1) == pytest.approx(5)
    assert CallLimit(0.3).seconds(100) == 0.3


def deadline(seconds: float = 30) -> float:
    return asyncio.get_running_loop().time() + seconds


def breaker() -> CircuitBreaker:
    return CircuitBreaker("age", failures=1000, cooldown_s=1)


async def turns() -> None:
    """Let everything happen that can."""
    for _ in range(10):
        await asyncio.sleep(0)
