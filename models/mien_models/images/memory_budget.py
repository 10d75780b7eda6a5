"""A bound on the memory that all decoding threads of a process use together."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class MemoryBudget:
    """Bytes that threads reserve before they allocate, and give back afterwards; safe to use from several threads."""

    def __init__(self, size: int) -> None:
        """Create a budget of `size` bytes."""
        self._size = size
        self._used = 0
        self._changed = threading.Condition()

    @property
    def used(self) -> int:
        """Bytes reserved at the moment."""
        return self._used

    @contextmanager
    def reserve(self, count: int) -> Iterator[None]:
        """Hold `count` bytes for the length of a `with` block, and wait until they are free.

        A reservation larger than the whole budget is granted when it is the only one, so that every image within the
        limits can be decoded.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + count <= self._size)
            self._used += count
        try:
            yield
        finally:
            with self._changed:
                self._used -= count
                self._changed.notify_all()
