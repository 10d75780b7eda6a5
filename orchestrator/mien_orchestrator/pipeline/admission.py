"""Who is let in: as many images as memory holds and as can be answered in time; others are refused at once.

A server that takes everything answers nothing in time: all wait behind each other until their callers have gone. One
that takes what it can answer stays at its best throughput, however much is asked of it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from mien.errors import OverloadedError

_KEPT = 0.9
"""Share of its weight that each answer keeps, in the average of what one costs, when the next has come."""

_ALWAYS = 4
"""Images that are let in whatever the average says, so that it is measured anew."""

_SHARE = 0.8
"""Part of a caller's time that the expected wait may take."""

_SHORTEST, _LONGEST = 0.1, 5.0
"""Bounds of the advice when to come again, in seconds."""


class Admission:
    """Counts the images being analyzed, in one process."""

    def __init__(self, *, max_requests: int, max_bytes: int) -> None:
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self.in_flight = 0
        """Images being analyzed now."""
        self._bytes = 0
        self._since = 0.0
        """When the last answer was given, or when the first image came after all were answered."""
        self._busy_seconds, self._answers = 0.0, 0.0
        """Time with images in flight and the answers in it, both with old ones fading."""

    @property
    def _each(self) -> float:
        """Seconds by which one image more delays the others: the time from one answer to the next, on average.

        Not an image's own time over those in flight: of a crowd that comes at once, the first has few before it and yet
        shares the machine with all behind it.
        """
        return self._busy_seconds / self._answers if self._answers else 0.0

    @contextmanager
    def admit(self, size: int, budget: float) -> Iterator[None]:
        """Let in an image of `size` bytes whose caller waits `budget` seconds; raises `OverloadedError`.

        A single image is let in whatever its size.
        """
        expected = self._each * (self.in_flight + 1)
        if self.in_flight >= self._max_requests:
            raise self._busy("too many images are being analyzed at once")
        if self.in_flight and self._bytes + size > self._max_bytes:
            raise self._busy("the images being analyzed have too many bytes together")
        if self.in_flight >= _ALWAYS and expected > _SHARE * budget:
            raise self._busy(f"an answer would take about {expected:.1f} s, too long for this call's deadline")
        if not self.in_flight:
            self._since = time.monotonic()
        self.in_flight += 1
        self._bytes += size
        try:
            yield
            now = time.monotonic()
            self._busy_seconds = _KEPT * self._busy_seconds + now - self._since
            self._answers = _KEPT * self._answers + 1
            self._since = now
        finally:
            self.in_flight -= 1
            self._bytes -= size

    def _busy(self, why: str) -> OverloadedError:
        wait = min(max(self._each * self.in_flight / 2, _SHORTEST), _LONGEST)
        return OverloadedError(f"{why}; try again in {wait:.1f} s", reason="SERVER_BUSY", retry_after=wait)
