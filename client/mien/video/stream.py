"""A stream that goes on after a lost server: frames without a reply are sent again, with the last state.

Each connection iterates the requests anew, in a thread or task of its own; the caller's frames are iterated once, by
whichever connection is the current one.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterable, Iterator
from contextlib import aclosing, closing
from dataclasses import dataclass, field

from mien.errors import CallCancelledError, MienError, OverloadedError, ServerUnavailableError
from mien.transport.base import AsyncEngine, Engine, Metadata
from mien.transport.methods import ANALYZE_STREAM
from mien.transport.retries import Retries
from mien.types.video import FrameResult
from mien.v1 import face_service_pb2 as pb
from mien.video.messages import FrameMessages, FrameSource, StreamOptions

WINDOW = 16
"""Frames without a reply that are kept, to be sent again."""


@dataclass(slots=True)
class Progress:
    """What a stream has sent and received, over all of its connections."""

    options: StreamOptions
    timeout: float
    """Seconds for which a lost connection is tried again, at most."""
    unanswered: deque[pb.AnalyzeStreamRequest] = field(default_factory=deque)
    answered: int = 0
    """Frames that need not be sent again."""
    state: bytes = b""
    dropped: int = 0
    """Frames that were dropped here since the last result."""
    replied: bool = False
    """Whether there was any reply."""
    restarted: bool = False
    """Whether the next result is the first one of another stream, without the tracks of before."""
    retries: Retries | None = None

    def take(self, reply: pb.AnalyzeStreamResponse) -> FrameResult:
        """Note a reply; return its result."""
        if reply.HasField("frame_id"):
            while self.unanswered:
                frame = self.unanswered.popleft()
                self.answered += 1
                if frame.frame.id == reply.frame_id:
                    break
        if reply.HasField("state"):
            self.state = reply.state
            reply.ClearField("state")
        reply.dropped_frames += self.dropped
        result = FrameResult.from_message(reply, restarted=self.restarted)
        self.dropped, self.restarted, self.replied, self.retries = 0, False, True, None
        return result

    def next_wait(self, error: MienError) -> float:
        """Return the seconds until the next connection; raises the error if it is final."""
        if self.retries is None:
            self.retries = Retries(self.timeout)
        advised = error.retry_after if isinstance(error, OverloadedError) else None
        lost = isinstance(error, ServerUnavailableError | CallCancelledError) or advised is not None
        wait = self.retries.next_wait(advised) if lost else None
        if error.reason == "STREAM_STATE_INVALID" and self.state:  # of another version of Mien
            self.state, wait = b"", 0.0
        if wait is None:
            raise error
        self.restarted = self.replied and not self.state
        if self.options.drop == "latest":
            while len(self.unanswered) > 1:
                self.unanswered.popleft()
                self.answered += 1
                self.dropped += 1
        return wait

    def drop_oldest(self) -> None:
        """Keep no more frames of a live source than the window: the older ones would be dropped in any case."""
        if self.options.drop == "latest" and len(self.unanswered) > WINDOW:
            self.unanswered.popleft()
            self.answered += 1

    @property
    def full(self) -> bool:
        """Whether a frame must be answered before the next one is taken."""
        return self.options.drop == "none" and len(self.unanswered) >= WINDOW


class Stream:
    """A stream of the synchronous client."""

    def __init__(self, engine: Engine, options: StreamOptions, metadata: Metadata, timeout: float) -> None:
        self._engine = engine
        self._metadata = metadata
        self._progress = Progress(options, timeout)
        self._changed = threading.Condition()
        self._pulling = threading.Lock()
        self._connection = 0
        """Number of the current connection; the requests of another one end."""
        self._ended = False
        """Whether the caller has no more frames."""

    def results(self, frames: Iterable[FrameSource]) -> Generator[FrameResult]:
        """Yield the results; see `Client.stream`."""
        messages = FrameMessages(self._progress.options)
        made = (messages.request(number, frame) for number, frame in enumerate(frames))
        try:
            while True:
                requests = self._requests(made, self._connection)
                try:
                    with closing(self._engine.stream(ANALYZE_STREAM, requests, self._metadata)) as replies:
                        for reply in replies:
                            with self._changed:
                                result = self._progress.take(reply)
                                self._changed.notify_all()
                            yield result
                        return
                except MienError as error:
                    with self._changed:
                        self._connection += 1
                        self._changed.notify_all()
                        wait = self._progress.next_wait(error)
                    time.sleep(wait)
        finally:
            with self._changed:
                self._connection += 1
                self._changed.notify_all()

    def _requests(self, made: Iterator[pb.AnalyzeStreamRequest], connection: int) -> Iterator[pb.AnalyzeStreamRequest]:
        progress = self._progress
        with self._changed:
            place = progress.answered
            first = progress.options.message(progress.state)
        yield first
        while True:
            with self._pulling:  # a former connection may still wait for the caller's next frame
                if not self._pull(made, connection, place):
                    return
            with self._changed:
                if self._connection != connection:
                    return
                place = max(place, progress.answered)
                if place >= progress.answered + len(progress.unanswered):
                    continue
                request = progress.unanswered[place - progress.answered]
                place += 1
            yield request

    def _pull(self, made: Iterator[pb.AnalyzeStreamRequest], connection: int, place: int) -> bool:
        """Take the caller's next frame unless there is one to send; return whether there are more to send."""
        progress = self._progress
        with self._changed:
            self._changed.wait_for(lambda: self._connection != connection or not progress.full or self._left(place))
            if self._connection != connection:
                return False
            if self._left(place) or self._ended:
                return self._left(place)
        request = next(made, None)
        with self._changed:
            if request is None:
                self._ended = True
                return False
            progress.unanswered.append(request)
            progress.drop_oldest()
        return True

    def _left(self, place: int) -> bool:
        progress = self._progress
        return max(place, progress.answered) < progress.answered + len(progress.unanswered)


class AsyncStream:
    """A stream of the asynchronous client."""

    def __init__(self, engine: AsyncEngine, options: StreamOptions, metadata: Metadata, timeout: float) -> None:
        self._engine = engine
        self._metadata = metadata
        self._progress = Progress(options, timeout)
        self._changed = asyncio.Condition()
        self._pull: asyncio.Task[pb.AnalyzeStreamRequest | None] | None = None
        """Takes the caller's next frame; goes on if its connection is lost."""
        self._ended = False

    async def results(self, frames: AsyncIterable[FrameSource] | Iterable[FrameSource]) -> AsyncGenerator[FrameResult]:
        """Yield the results; see `Client.stream`."""
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
        yield progress.options.message(progress.state)
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
