"""The queue between a stream's reader and its analysis: bounded, and either pushes back or drops."""

import asyncio
from collections import deque
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

    async def put(self, frame: T) -> None:
        """Add a frame; waits while the queue is full, or drops the frame that waits."""
        async with self._changed:
            if self._ended:
                return
            if self._latest:
                self._dropped += len(self._frames)
                self._frames.clear()
            else:
                await self._changed.wait_for(lambda: len(self._frames) < WAITING or self._ended)
            self._frames.append(frame)
            self._changed.notify_all()

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
