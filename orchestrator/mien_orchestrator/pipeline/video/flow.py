"""The queue between a stream's reader and its analysis: bounded, and either pushes back or drops."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

WAITING = 2
"""Frames that wait at most if none are dropped: one is ready when the analysis of another ends."""


class FrameQueue(Generic[T]):
    """Hands frames from one asyncio task to another. Used on one event loop."""

    def __init__(self, *, latest: bool) -> None:
        """With `latest`, a new frame replaces the one that waits; otherwise `put` waits for room."""
        self._latest = latest
        self._frames: deque[T] = deque()
        self._dropped = 0
        self._ended = False
        self._error: Exception | None = None
        self._changed = asyncio.Condition()

    async def put(self, frame: T) -> Sequence[T]:
        """Add a frame; waits while the queue is full, or drops the frame that waits. Return the dropped frames."""
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
        """Count a frame that was not even put."""
        self._dropped += 1

    def close(self) -> Sequence[T]:
        """Add nothing more; remove and return all frames."""
        self._ended = True
        left = list(self._frames)
        self._frames.clear()
        return left

    async def end(self, error: Exception | None = None) -> None:
        """Add nothing more; `get` raises the error after the frames that wait."""
        async with self._changed:
            if not self._ended:
                self._ended, self._error = True, error
            self._changed.notify_all()

    async def get(self) -> tuple[T, int] | None:
        """Return the next frame, and how many were dropped since the last one; None after the last one."""
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
    """Bounds the bytes of the frames that wait or are analyzed, over all streams. Used on one event loop."""

    def __init__(self, max_bytes: int) -> None:
        self._max = self._free = max_bytes
        self._freed = asyncio.Event()

    def try_take(self, count: int) -> bool:
        """Reserve bytes if they are free; a frame of more than all of them may be alone."""
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
        """Bytes that are reserved."""
        return self._max - self._free
