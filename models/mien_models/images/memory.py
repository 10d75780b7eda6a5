"""A memory budget for decoded pixels, shared by all threads of a process."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_CHECK_SECONDS = 0.1
"""Seconds between two checks of whether a waiting caller has cancelled."""


class PixelBudget:
    """Bounds the memory of the images that are decoded at the same time."""

    def __init__(self, max_bytes: int) -> None:
        """Allow `max_bytes` of decoded pixels at the same time; a larger image is decoded while no other is."""
        self._max_bytes = max_bytes
        self._used = 0
        self._changed = threading.Condition()

    @contextmanager
    def reserve(
        self, count: int, *, deadline: float, cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[float | None]:
        """Hold `count` bytes during the block, waiting for other images to return theirs.

        Args:
            count: Bytes that decoding needs at its peak.
            deadline: Point in time, by `time.monotonic`, until which to wait.
            cancelled: Whether the caller has given up.

        Yields:
            Seconds for which other images held the memory, 0 if it was free at once; None if the bytes were not
            reserved, after the deadline or a cancellation.

        """
        waited = self._take(count, deadline, cancelled)
        try:
            yield waited
        finally:
            if waited is not None:
                with self._changed:
                    self._used -= count
                    self._changed.notify_all()

    def _take(self, count: int, deadline: float, cancelled: Callable[[], bool]) -> float | None:
        waited = 0.0
        with self._changed:
            while self._used and self._used + count > self._max_bytes:
                left = deadline - time.monotonic()
                if left <= 0 or cancelled():
                    return None
                began = time.monotonic()
                self._changed.wait(min(left, _CHECK_SECONDS))
                waited += time.monotonic() - began
            self._used += count
            return waited
