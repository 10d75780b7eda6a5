"""A memory budget for decoded pixels, shared by all threads of a process."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_CHECK_SECONDS = 0.1
"""Time between two looks at whether a waiting caller has given up."""


class PixelBudget:
    """Bounds the memory of the images that are decoded at the same time."""

    def __init__(self, max_bytes: int) -> None:
        """Allow `max_bytes` of decoded pixels at the same time; a larger image is decoded while no other is."""
        self._max_bytes = max_bytes
        self._used = 0
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, count: int, *, deadline: float, cancelled: Callable[[], bool] = lambda: False) -> Iterator[bool]:
        """Hold `count` bytes during the block, waiting for other images to return theirs.

        Args:
            count: Bytes that decoding needs at its peak.
            deadline: Point in time, by `time.monotonic`, until which to wait.
            cancelled: Whether the caller has given up.

        Yields:
            Whether the bytes were reserved; False after the deadline or a cancellation.

        """
        reserved = self._take(count, deadline, cancelled)
        try:
            yield reserved
        finally:
            if reserved:
                with self._changed:
                    self._used -= count
                    self._changed.notify_all()

    def _take(self, count: int, deadline: float, cancelled: Callable[[], bool]) -> bool:
        with self._changed:
            while self._used and self._used + count > self._max_bytes:
                left = deadline - time.monotonic()
                if left <= 0 or cancelled():
                    return False
                self._changed.wait(min(left, _CHECK_SECONDS))
            self._used += count
            return True
