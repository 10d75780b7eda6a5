"""Tests of the limits per caller."""

import pytest

import mien
from mien_orchestrator.pipeline.admission import caller_limits as module
from mien_orchestrator.pipeline.admission.admission import Admission
from mien_orchestrator.pipeline.admission.caller_limits import CallerLimits

LONG = 1e9


class Clock:
    """A clock that is advanced by the test."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def admission(limits: CallerLimits) -> Admission:
    return Admission(max_requests=100, max_bytes=1000, callers=limits)


def test_a_caller_at_its_limit_is_refused_and_others_are_not() -> None:
    made = admission(CallerLimits(max_requests=2))
    with made.admit(1, LONG, "a"), made.admit(1, LONG, "a"):
        for attempt in (lambda: made.admit(1, LONG, "a").__enter__(), lambda: made.check(LONG, "a")):
            with pytest.raises(mien.OverloadedError, match="2 images of a") as caught:
                attempt()
            assert caught.value.reason == "CALLER_LIMIT"
            assert caught.value.retry_after
        with made.admit(1, LONG, "b"), made.admit(1, LONG):
            assert made.in_flight == 4
    with made.admit(1, LONG, "a"):
        pass


def test_a_caller_has_a_rate_with_a_seconds_worth_at_once(clock: Clock) -> None:
    made = admission(CallerLimits(per_second=4))

    def admitted(caller: str) -> int:
        count = 0
        while True:
            try:
                with made.admit(1, LONG, caller):
                    count += 1
            except mien.OverloadedError:
                return count

    assert admitted("a") == 4
    with pytest.raises(mien.OverloadedError) as caught:
        made.check(LONG, "a")
    assert (caught.value.reason, caught.value.retry_after) == ("CALLER_LIMIT", pytest.approx(0.25))
    clock.now += 0.5
    assert admitted("a") == 2
    clock.now += 60
    assert admitted("a") == 4
    assert admitted("b") == 4


def test_a_rate_below_one_allows_one_image_at_a_time(clock: Clock) -> None:
    made = admission(CallerLimits(per_second=0.5))
    with made.admit(1, LONG, "a"):
        pass
    with pytest.raises(mien.OverloadedError, match=r"try again in 2\.0 s"):
        made.check(LONG, "a")
    clock.now += 2
    made.check(LONG, "a")


def test_a_refused_image_does_not_count_against_the_rate(clock: Clock) -> None:
    made = Admission(max_requests=1, max_bytes=1000, callers=CallerLimits(per_second=2))
    with made.admit(1, LONG, "b"), pytest.raises(mien.OverloadedError, match="too many"):
        made.admit(1, LONG, "a").__enter__()
    for _ in range(2):
        with made.admit(1, LONG, "a"):
            pass
