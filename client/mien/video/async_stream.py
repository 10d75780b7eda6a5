"""A stream for asyncio that continues after a lost connection: frames without a reply are sent again.

Each connection iterates the requests anew, in a task of its own; the caller's frames are iterated once, by whichever
connection is the current one.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from contextlib import aclosing

from mien.errors import MienError
from mien.transport.base import AsyncEngine, Metadata
from mien.transport.methods import ANALYZE_STREAM
from mien.types.video import FrameResult
from mien.v1 import face_service_pb2 as pb
from mien.video.messages import FrameMessages, FrameSource, check_frames
from mien.video.options import StreamOptions
from mien.video.progress import Progress


class AsyncStream:
    """A stream of the asynchronous client."""

    def __init__(self, engine: AsyncEngine, options: StreamOptions, metadata: Metadata, timeout: float) -> None:
        self._engine = engine
        self._metadata = metadata
        self._progress = Progress(options, timeout)
        self._changed = asyncio.Condition()
        self._pull: asyncio.Task[pb.AnalyzeStreamRequest | None] | None = None
        """Reads the caller's next frame; continues if the connection is lost."""
        self._ended = False

    async def results(self, frames: AsyncIterable[FrameSource] | Iterable[FrameSource]) -> AsyncGenerator[FrameResult]:
        """Yield the results; see `Client.stream`."""
        check_frames(frames)
        made = _messages(frames, FrameMessages(self._progress.options))
        try:
            while True:
                requests = self._requests(made)
                try:
                    async with aclosing(self._engine.stream(ANALYZE_STREAM, requests, self._metadata)) as replies:
                        async for reply in replies:
                            async with self._changed:
                                result = self._progress.take(reply)
                                self._changed.notify_all()
                            yield result
                        return
                except MienError as error:
                    wait = self._progress.next_wait(error)
                    await asyncio.sleep(wait)
        finally:
            if self._pull:
                self._pull.cancel()
                await asyncio.wait([self._pull])
            await made.aclose()

    async def _requests(self, made: AsyncGenerator[pb.AnalyzeStreamRequest]) -> AsyncIterator[pb.AnalyzeStreamRequest]:
        progress = self._progress
        place = progress.answered
        yield progress.first_request()
        while True:
            place = max(place, progress.answered)
            if place < progress.answered + len(progress.unanswered):
                place += 1
                yield progress.unanswered[place - 1 - progress.answered]
            elif self._ended:
                return
            elif progress.full:
                async with self._changed:
                    await self._changed.wait_for(lambda: not progress.full)
            else:
                await self._take_frame(made)

    async def _take_frame(self, made: AsyncGenerator[pb.AnalyzeStreamRequest]) -> None:
        if self._pull is None:
            self._pull = asyncio.create_task(_next(made))
        request = await asyncio.shield(self._pull)
        self._pull = None
        if request is None:
            self._ended = True
        else:
            self._progress.unanswered.append(request)
            self._progress.drop_oldest()


async def _next(made: AsyncGenerator[pb.AnalyzeStreamRequest]) -> pb.AnalyzeStreamRequest | None:
    return await anext(made, None)


async def _messages(
    frames: AsyncIterable[FrameSource] | Iterable[FrameSource], messages: FrameMessages
) -> AsyncGenerator[pb.AnalyzeStreamRequest]:
    """Yield the messages of the frames; a plain iterable is iterated in a thread."""
    number = 0
    async for frame in frames if isinstance(frames, AsyncIterable) else _in_thread(frames):
        yield await asyncio.to_thread(messages.request, number, frame)
        number += 1


async def _in_thread(frames: Iterable[FrameSource]) -> AsyncIterator[FrameSource]:
    iterator = iter(frames)
    end = object()
    while (frame := await asyncio.to_thread(next, iterator, end)) is not end:
        yield frame  # type: ignore[misc]  # mypy does not narrow by identity
