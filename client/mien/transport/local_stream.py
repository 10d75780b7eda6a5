"""Streams of local mode: pass requests from the caller's thread or event loop to the service's, and replies back."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from typing import Generic, TypeVar

from mien.errors import MienError, closed

Request = TypeVar("Request")
Response = TypeVar("Response")


class LocalStream(Generic[Request, Response]):
    """One stream; its coroutines run on the worker's event loop."""

    def __init__(self, answer: Callable[[AsyncIterator[Request]], AsyncGenerator[Response]], request_id: str) -> None:
        """Create it on the worker's event loop; `answer` is the service's stream."""
        self._waiting: asyncio.Queue[Request | None] = asyncio.Queue(maxsize=1)
        self._replies = answer(self._requests())
        self._request_id = request_id
        self._ended = asyncio.Event()

    async def feed(self, request: Request | None) -> bool:
        """Queue a request when there is room, None after the last one; return whether the stream is still running."""
        put = asyncio.ensure_future(self._waiting.put(request))
        ended = asyncio.ensure_future(self._ended.wait())
        await asyncio.wait([put, ended], return_when=asyncio.FIRST_COMPLETED)
        put.cancel()
        ended.cancel()
        return not self._ended.is_set()

    async def next(self) -> Response | None:
        """Return the next reply, or None after the last one."""
        if self._ended.is_set():
            raise closed()
        try:
            reply = await anext(self._replies, None)
        except BaseException as raised:
            self._ended.set()
            if isinstance(raised, MienError):
                raised.request_id = self._request_id
            raise
        if reply is None:
            self._ended.set()
        return reply

    async def close(self) -> None:
        """End the stream and release its resources."""
        self._ended.set()
        with suppress(RuntimeError):  # a reply is being made: its task is cancelled beside this call
            await self._replies.aclose()

    async def _requests(self) -> AsyncIterator[Request]:
        while (request := await self._waiting.get()) is not None:
            yield request
