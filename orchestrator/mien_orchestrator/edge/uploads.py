"""Admission of uploads: limit the request messages that are read concurrently, and cancel slow ones.

gRPC would otherwise buffer the messages of all connections, before the first of them is complete and admitted. A
message may be sent as slowly as its deadline allows while there is room. When all slots are taken and others wait, the
upload that has been running for longest is refused once it has had its guaranteed time, and the newest waiting call
gets its slot (adaptive LIFO: the oldest may have been given up by its caller), so that a crowd of stalled uploads
delays a new caller by the guaranteed time at most.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from mien.errors import OverloadedError

GUARANTEED_SECONDS = 0.5
"""Guaranteed time of an upload, in seconds, even if others wait."""

_RETRY_SECONDS = 1.0

T = TypeVar("T")


class UploadGate:
    """Limits the messages that are read concurrently. Not thread-safe: for one event loop."""

    def __init__(self, slots: int) -> None:
        """Allow `slots` messages at the same time; their number times the message limit bounds the memory."""
        self._free = slots
        self._waiting: list[asyncio.Future[None]] = []
        self._running: OrderedDict[asyncio.Future[Any], float] = OrderedDict()
        """The messages being read, in the order of their start, each with its start time."""
        self._eviction: asyncio.Task[None] | None = None

    async def read(self, receive: Callable[[], Awaitable[T]]) -> T:
        """Read one message when there is a slot for it.

        Raises:
            OverloadedError: The upload took longer than its guaranteed time, and others were waiting.

        """
        await self._take_slot()
        reading: asyncio.Future[T] = asyncio.ensure_future(receive())
        self._running[reading] = time.monotonic()
        try:
            await asyncio.wait([reading])
        except asyncio.CancelledError:
            reading.cancel()
            raise
        finally:
            del self._running[reading]
            self._release_slot()
        if reading.cancelled():
            raise OverloadedError(
                "the upload was too slow while others were waiting; try again, or send a smaller image",
                reason="UPLOAD_TOO_SLOW",
                retry_after=_RETRY_SECONDS,
            )
        return reading.result()

    async def _take_slot(self) -> None:
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        if self._eviction is None:
            self._eviction = asyncio.create_task(self._evict())
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting = [other for other in self._waiting if other is not turn]
            else:
                self._release_slot()  # it was given a slot in the same moment
            raise

    def _release_slot(self) -> None:
        while self._waiting:
            turn = self._waiting.pop()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    async def _evict(self) -> None:
        """While calls wait, cancel the oldest upload as soon as its guaranteed time ends."""
        while self._waiting and self._running:
            reading, began = next(iter(self._running.items()))
            left = began + GUARANTEED_SECONDS - time.monotonic()
            if left > 0:
                await asyncio.wait([reading], timeout=left)
            else:
                reading.cancel()
                await asyncio.wait([reading])
            await asyncio.sleep(0)  # its reader returns the slot
        self._eviction = None
