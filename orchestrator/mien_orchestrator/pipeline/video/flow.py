"""The bounded queue between a stream's reader and its analysis: applies back-pressure, or drops frames."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

WAITING = 2
"""Maximum number of queued frames without dropping: the next one is ready when an analysis ends."""


class FrameQueue(Generic[T]):
    """Hands frames from one asyncio task to another. Used on one event loop."""

    def __init__(self, *, latest: bool) -> None:
        """Create a queue. With `latest`, a new frame replaces the queued one; otherwise `put` waits for space."""
        self._latest = latest
        self._frames: deque[T] = deque()
        self._dropped = 0
        self._ended = False
        self._error: Exception | None = None
        self._changed = asyncio.Condition()

    async def put(self, frame: T) -> Sequence[T]:
        """Add a frame, after waiting while the queue is full or dropping the queued frame; return dropped frames."""
        async with self._changed:
            if not self._latest:
                await self._changed.wait_for(lambda: len(self._frames) < WAITING or self._ended)
            if self._ended:
                return [frame]
            dropped = list(self._frames) if self._latest else []
            self._dropped += len(dropped)
            if self._latest:
                self._frames.clear()
            self._frames.append(frame)
            self._changed.notify_all()
            return dropped

    def drop(self) -> None:
        """Count a frame that was dropped before the queue."""
        self._dropped += 1

    def close(self) -> Sequence[T]:
        """Close the queue; remove and return all frames."""
        self._ended = True
        left = list(self._frames)
        self._frames.clear()
        return left

    async def end(self, error: Exception | None = None) -> None:
        """Close the queue; `get` raises the error after the queued frames."""
        async with self._changed:
            if not self._ended:
                self._ended, self._error = True, error
            self._changed.notify_all()

    async def get(self) -> tuple[T, int] | None:
        """Return the next frame and the number dropped since the previous one; None after the last frame."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._frames or self._ended)
            if self._frames:
                dropped, self._dropped = self._dropped, 0
                frame = self._frames.popleft()
                self._changed.notify_all()
                return frame, dropped
            if self._error:
                raise self._error
            return None


class ByteBudget:
    """Limits the bytes of queued and analyzed frames of all streams. Used on one event loop."""

    def __init__(self, max_bytes: int) -> None:
        self._max = self._free = max_bytes
        self._freed = asyncio.Event()

    def try_take(self, count: int) -> bool:
        """Reserve bytes if they are free; a frame above the limit is accepted if it is the only one."""
        if self._free < count and self._free < self._max:
            return False
        self._free -= count
        return True

    async def take(self, count: int) -> None:
        """Reserve bytes as soon as they are free."""
        while not self.try_take(count):
            self._freed.clear()
            await self._freed.wait()

    def give(self, count: int) -> None:
        """Return reserved bytes."""
        self._free += count
        self._freed.set()

    @property
    def used(self) -> int:
        """The reserved bytes."""
        return self._max - self._free
