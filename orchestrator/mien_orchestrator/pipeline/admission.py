"""Admission control: accept images that fit in memory and can be answered in time, and reject others at once.

An overloaded server without admission control finishes requests only after their deadlines. With it, throughput stays
at its maximum under any load.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from mien.errors import OverloadedError

_KEPT = 0.9
"""Weight that past answers keep in the moving average with each new answer."""

_ALWAYS = 4
"""Images that are always admitted, so that the average is updated."""

_SHARE = 0.6
"""Fraction of the remaining time that the expected wait may take."""

_SHORTEST, _LONGEST = 0.1, 5.0
"""Range of the suggested retry delay, in seconds."""


class CallerLimits:
    """Limits the images of each caller, so that one of them does not delay the others."""

    def __init__(self, max_requests: int | None = None, per_second: float | None = None) -> None:
        """Create the limits.

        Args:
            max_requests: Images of one caller that are analyzed at the same time; None for any number.
            per_second: Images of one caller per second, of which a second's worth may come at once; None for any
                number.

        """
        self._max_requests = max_requests
        self._per_second = per_second
        self._burst = max(1.0, per_second or 0.0)
        self._in_flight: Counter[str] = Counter()
        self._left: dict[str, tuple[float, float]] = {}
        """Images that each caller may send at a point in time."""

    def check(self, caller: str) -> None:
        """Raise `OverloadedError` if another image of a caller would be above a limit; without a name it has none."""
        if not caller:
            return
        if self._max_requests is not None and self._in_flight[caller] >= self._max_requests:
            raise OverloadedError(
                f"{self._max_requests} images of the token {caller} are being analyzed, the most it may have; "
                "wait for one of them",
                reason="CALLER_LIMIT",
                retry_after=_SHORTEST,
            )
        if self._per_second is not None and (left := self._now_left(caller)) < 1:
            wait = (1 - left) / self._per_second
            raise OverloadedError(
                f"the token {caller} may send {self._per_second:g} images per second; try again in {wait:.1f} s",
                reason="CALLER_LIMIT",
                retry_after=wait,
            )

    @contextmanager
    def counted(self, caller: str) -> Iterator[None]:
        """Count an image of a caller."""
        if not caller:
            yield
            return
        if self._per_second is not None:
            self._left[caller] = self._now_left(caller) - 1, time.monotonic()
        self._in_flight[caller] += 1
        try:
            yield
        finally:
            self._in_flight[caller] -= 1

    def _now_left(self, caller: str) -> float:
        now = time.monotonic()
        left, since = self._left.get(caller, (self._burst, now))
        return min(self._burst, left + (now - since) * (self._per_second or 0.0))


class Admission:
    """Limits the images that one process analyzes concurrently."""

    def __init__(self, *, max_requests: int, max_bytes: int, callers: CallerLimits | None = None) -> None:
        self._callers = callers or CallerLimits()
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self.in_flight = 0
        """Images being analyzed now."""
        self._bytes = 0
        self._since = 0.0
        """Time of the last answer, or of the first image after an idle period."""
        self._busy_seconds, self._answers = 0.0, 0.0
        """Busy time and number of answers, both as exponentially decaying sums."""
        self._refused_per_answer = 0.0
        """Average number of rejections per answer, which is how many times the callers are as many as are served."""

    @property
    def _each(self) -> float:
        """Average interval between answers, in seconds: the delay that one more image adds to the others.

        Not the latency divided by the images in flight: in a burst, the first image has few before it but shares the
        machine with all behind it.
        """
        return self._busy_seconds / self._answers if self._answers else 0.0

    @contextmanager
    def admit(self, size: int, budget: float, caller: str = "") -> Iterator[None]:
        """Admit an image of `size` bytes with `budget` seconds left; raises `OverloadedError`.

        A single image is admitted whatever its size.
        """
        self.check(budget, caller)
        if self.in_flight and self._bytes + size > self._max_bytes:
            raise self._busy("the images being analyzed exceed the memory limit")
        with self.counted(size), self._callers.counted(caller):
            yield

    @contextmanager
    def counted(self, size: int) -> Iterator[None]:
        """Count a frame of an admitted stream, of `size` bytes, as an image being analyzed."""
        if not self.in_flight:
            self._since = time.monotonic()
        self.in_flight += 1
        self._bytes += size
        try:
            yield
            now = time.monotonic()
            self._busy_seconds = _KEPT * self._busy_seconds + now - self._since
            self._answers = _KEPT * self._answers + 1
            self._refused_per_answer *= _KEPT
            self._since = now
        finally:
            self.in_flight -= 1
            self._bytes -= size

    def check(self, budget: float, caller: str = "") -> None:
        """Raise `OverloadedError` if an image with `budget` seconds left would be rejected whatever its size.

        Called before an image is read, so that a rejected call costs little.
        """
        self._callers.check(caller)
        expected = self._each * (self.in_flight + 1)
        if self.in_flight >= self._max_requests:
            raise self._busy("too many images are being analyzed")
        if self.in_flight >= _ALWAYS and expected > _SHARE * budget:
            raise self._busy(f"an answer would take about {expected:.1f} s, longer than this call's deadline allows")

    def _busy(self, why: str) -> OverloadedError:
        self._refused_per_answer += 1 - _KEPT
        wait = self._each * self.in_flight / 2 * max(1.0, self._refused_per_answer)
        wait = min(max(wait, _SHORTEST), _LONGEST)
        return OverloadedError(f"{why}; try again in {wait:.1f} s", reason="SERVER_BUSY", retry_after=wait)
