"""Tests of the circuit breaker."""

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
def reported() -> list[bool]:
    return []


@pytest.fixture
def breaker(clock: Clock, reported: list[bool]) -> CircuitBreaker:
    return CircuitBreaker("emotion", failures=3, cooldown_s=5, on_change=reported.append, clock=clock)


def fail(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.failed(mien.ServerUnavailableError("down"))


def test_consecutive_failures_open_the_breaker(breaker: CircuitBreaker, reported: list[bool]) -> None:
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    breaker.admit()
    fail(breaker)
    with pytest.raises(mien.ServerUnavailableError, match=r"emotion failed 3 times in a row.*next attempt in 5\.0 s"):
        breaker.admit()
    assert reported == [True]


def test_a_successful_probe_after_the_cooldown_closes_the_breaker(
    breaker: CircuitBreaker, clock: Clock, reported: list[bool]
) -> None:
    fail(breaker, 3)
    clock.now += 5.1
    breaker.admit()
    with pytest.raises(mien.ServerUnavailableError):
        breaker.admit()
    breaker.succeeded()
    breaker.admit()
    assert reported == [True, False]


def test_a_failed_probe_keeps_the_breaker_open_and_an_abandoned_one_allows_another(
    breaker: CircuitBreaker, clock: Clock, reported: list[bool]
) -> None:
    fail(breaker, 3)
    clock.now += 5.1
    breaker.admit()
    fail(breaker)
    clock.now += 4
    with pytest.raises(mien.ServerUnavailableError):
        breaker.admit()
    clock.now += 1.1
    breaker.admit()  # its request is cancelled without a result
    clock.now += 5.1
    breaker.admit()
    assert reported == [True]


def test_client_errors_do_not_open_the_breaker(breaker: CircuitBreaker) -> None:
    for _ in range(9):
        breaker.failed(mien.InvalidRequestError("wrong crops"))
        breaker.failed(mien.OverloadedError("too much"))
        breaker.abandoned(0.2)
    assert not breaker.is_open
    for _ in range(3):
        breaker.abandoned(2)
    assert breaker.is_open
