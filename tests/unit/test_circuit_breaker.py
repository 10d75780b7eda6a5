"""A failing model is left alone, and taken back once it answers."""

import pytest

import mien
from mien_orchestrator.pipeline.circuit_breaker import CircuitBreaker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told() -> list[bool]:
    return []


@pytest.fixture
def breaker(clock: Clock, told: list[bool]) -> CircuitBreaker:
    return CircuitBreaker("emotion", failures=3, cooldown_s=5, on_change=told.append, clock=clock)


def fail(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.failed(mien.ServerUnavailableError("down"))


def test_failures_in_a_row_open_it_and_say_why(breaker: CircuitBreaker, told: list[bool]) -> None:
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    breaker.admit()
    fail(breaker)
    with pytest.raises(mien.ServerUnavailableError, match=r"emotion failed 3 times in a row.*next attempt in 5\.0 s"):
        breaker.admit()
    assert told == [True]


def test_after_the_pause_one_request_sees_and_success_closes_it(
    breaker: CircuitBreaker, clock: Clock, told: list[bool]
) -> None:
    fail(breaker, 3)
    clock.now += 5.1
    breaker.admit()
    with pytest.raises(mien.ServerUnavailableError):
        breaker.admit()
    breaker.succeeded()
    breaker.admit()
    assert told == [True, False]


def test_a_failed_look_leaves_it_open_and_a_lost_one_does_not_keep_it_open_for_ever(
    breaker: CircuitBreaker, clock: Clock, told: list[bool]
) -> None:
    fail(breaker, 3)
    clock.now += 5.1
    breaker.admit()
    fail(breaker)
    clock.now += 4
    with pytest.raises(mien.ServerUnavailableError):
        breaker.admit()
    clock.now += 1.1
    breaker.admit()  # its caller goes away, and nothing comes of it
    clock.now += 5.1
    breaker.admit()
    assert told == [True]


def test_what_the_callers_do_does_not_open_it(breaker: CircuitBreaker) -> None:
    for _ in range(9):
        breaker.failed(mien.InvalidRequestError("wrong crops"))
        breaker.failed(mien.OverloadedError("too much"))
        breaker.abandoned(0.2)
    assert not breaker.is_open
    for _ in range(3):
        breaker.abandoned(2)
    assert breaker.is_open
