"""Admission control: accept images that fit in memory and can be answered in time, and reject others at once.

An overloaded server without admission control finishes requests only after their deadlines. With it, throughput stays
at its maximum under any load. Callers share the limits: the flood of one leaves room for the others.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from mien.errors import OverloadedError
from mien_orchestrator.pipeline.admission.caller_limits import CallerLimits
from mien_orchestrator.pipeline.admission.shared_limit import SharedLimit

_KEPT = 0.9
"""Weight that past answers keep in the moving average with each new answer."""

_ALWAYS = 4
"""Images that are always admitted, so that the average is updated."""

_SHARE = 0.6
"""Fraction of the remaining time that the expected wait may take."""

_SHORTEST, _LONGEST = 0.1, 5.0
"""Range of the suggested retry delay, in seconds."""


class Admission:
    """Limits the images that one process analyzes concurrently."""

    def __init__(self, *, max_requests: int, max_bytes: int, callers: CallerLimits | None = None) -> None:
        self._callers = callers or CallerLimits()
        self._images = SharedLimit(max_requests)
        self._bytes = SharedLimit(max_bytes)
        self._since = 0.0
        """Time of the last answer, or of the first image after an idle period."""
        self._busy_seconds, self._answers = 0.0, 0.0
        """Busy time and number of answers, both as exponentially decaying sums."""
        self._refused_per_answer = 0.0
        """Average number of rejections per answer, which is how many times the callers are as many as are served."""

    @property
    def in_flight(self) -> int:
        """Images being analyzed now."""
        return self._images.used

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
        if self.in_flight and self._bytes.is_full(size):
            raise self._busy("the images being analyzed exceed the memory limit")
        if self._bytes.exceeds_share(caller, size):
            raise self._busy(f"the images of {caller} take its share of the memory limit")
        with self.counted(size, caller), self._callers.counted(caller):
            yield

    @contextmanager
    def counted(self, size: int, caller: str = "") -> Iterator[None]:
        """Count a frame of an admitted stream, of `size` bytes, as an image being analyzed."""
        if not self.in_flight:
            self._since = time.monotonic()
        with self._images.taken(caller), self._bytes.taken(caller, size):
            yield
            now = time.monotonic()
            self._busy_seconds = _KEPT * self._busy_seconds + now - self._since
            self._answers = _KEPT * self._answers + 1
            self._refused_per_answer *= _KEPT
            self._since = now

    def check(self, budget: float, caller: str = "") -> None:
        """Raise `OverloadedError` if an image with `budget` seconds left would be rejected whatever its size.

        Called before an image is read, so that a rejected call costs little.
        """
        self._callers.check(caller)
        ahead = self._images.ahead(caller)
        expected = self._each * (ahead + 1)
        if self._images.is_full():
            raise self._busy("too many images are being analyzed")
        if self._images.exceeds_share(caller):
            raise self._busy(f"too many images of {caller} are being analyzed")
        if ahead >= _ALWAYS and expected > _SHARE * budget:
            raise self._busy(f"an answer would take about {expected:.1f} s, longer than this call's deadline allows")

    def _busy(self, why: str) -> OverloadedError:
        self._refused_per_answer += 1 - _KEPT
        wait = self._each * self.in_flight / 2 * max(1.0, self._refused_per_answer)
        wait = min(max(wait, _SHORTEST), _LONGEST)
        return OverloadedError(f"{why}; try again in {wait:.1f} s", reason="SERVER_BUSY", retry_after=wait)
