"""Limits of each caller, by its name."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from mien.errors import OverloadedError

_WAIT_SECONDS = 0.1
"""Suggested retry delay of a caller with too many images."""

_KEPT_CALLERS = 1000
"""Callers above which those are forgotten that have a whole second's worth left."""


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
                f"{self._max_requests} images of {caller} are being analyzed, the most it may have; "
                "wait for one of them",
                reason="CALLER_LIMIT",
                retry_after=_WAIT_SECONDS,
            )
        if self._per_second is not None and (left := self._now_left(caller)) < 1:
            wait = (1 - left) / self._per_second
            raise OverloadedError(
                f"{caller} may send {self._per_second:g} images per second; try again in {wait:.1f} s",
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
            if len(self._left) > _KEPT_CALLERS:
                self._left = {name: left for name, left in self._left.items() if self._now_left(name) < self._burst}
        self._in_flight[caller] += 1
        try:
            yield
        finally:
            self._in_flight[caller] -= 1
            if not self._in_flight[caller]:
                del self._in_flight[caller]

    def _now_left(self, caller: str) -> float:
        now = time.monotonic()
        left, since = self._left.get(caller, (self._burst, now))
        return min(self._burst, left + (now - since) * (self._per_second or 0.0))
