"""Admit, read, analyze and end the streams of a process."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from mien.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    MienError,
    OverloadedError,
    ServerUnavailableError,
)
from mien.v1 import face_service_pb2 as pb
from mien_models.spec import Task
from mien_orchestrator.pipeline.admission.admission import Admission
from mien_orchestrator.pipeline.admission.shared_limit import SharedLimit
from mien_orchestrator.pipeline.ensemble import Ensemble
from mien_orchestrator.pipeline.request_context import RequestContext
from mien_orchestrator.pipeline.timing import SpanRecorder
from mien_orchestrator.pipeline.video.config import INTERVALS_MS, VideoConfig
from mien_orchestrator.pipeline.video.flow import ByteBudget, FrameQueue
from mien_orchestrator.pipeline.video.session import VideoSession, refusal
from mien_orchestrator.settings import StreamsSettings

FRAME_SECONDS = 10.0
"""Timeout of one frame, in seconds."""

_RETRY_SECONDS = 5.0

_LATEST_MS = 1e15
"""Largest timestamp: doubles hold whole microseconds up to it."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A queued frame, or the error because of which it is not analyzed."""

    frame: pb.Frame
    context: RequestContext
    error: MienError | None

    @property
    def size(self) -> int:
        """Bytes of the picture."""
        return len(self.frame.image) + len(self.frame.raw.data)


class Streams:
    """Analyzes video streams. Used on one event loop."""

    def __init__(
        self,
        ensemble: Ensemble,
        admission: Admission,
        limits: StreamsSettings,
        *,
        max_bytes: int,
        max_per_caller: int | None = None,
    ) -> None:
        """Create the streams. `admission` counts their frames like other requests, but does not refuse them.

        Args:
            ensemble: Analyzes the frames.
            admission: Counts the frames that are analyzed.
            limits: Limits of the streams.
            max_bytes: Maximum bytes of the queued and analyzed frames of all streams.
            max_per_caller: Maximum streams of one caller; None for no limit except its share of all streams.

        """
        self.bytes = ByteBudget(max_bytes)
        """Bytes of the frames of all streams."""
        self._ensemble = ensemble
        self._admission = admission
        self._limits = limits
        self._open = SharedLimit(limits.max_streams)
        self._max_per_caller = max_per_caller
        self._queues: set[FrameQueue[_Waiting]] = set()

    @property
    def open(self) -> int:
        """Number of open streams."""
        return self._open.used

    async def run(
        self, requests: AsyncIterator[pb.AnalyzeStreamRequest], context: RequestContext
    ) -> AsyncGenerator[pb.AnalyzeStreamResponse]:
        """Analyze a stream: its configuration, then its frames; closing the iterator releases everything.

        Args:
            requests: The messages of the stream.
            context: Context of the stream; each frame gets its own, with the same request id.

        Yields:
            One reply per frame that is not dropped, and one at the end.

        Raises:
            InvalidRequestError: The configuration or the order of the messages is invalid.
            OverloadedError: There are too many streams.
            DeadlineExceededError: No frame arrived within the idle timeout.

        """
        with self._admitted(context.caller):
            config = await self._configured(requests)
            queue: FrameQueue[_Waiting] = FrameQueue(latest=config.latest)
            session = VideoSession(self._ensemble, config, self._limits.max_frame_pixels)
            check = _FrameCheck(self._limits, session.now_ms)
            reader = asyncio.create_task(self._read(requests, queue, check, context, latest=config.latest))
            self._queues.add(queue)
            try:
                while (item := await queue.get()) is not None:
                    yield await self._answer(session, *item)
                yield session.finish()
            finally:
                self._queues.discard(queue)
                self._forget(queue.close())  # before the first wait, which a second cancellation could end
                reader.cancel()
                await asyncio.wait([reader])

    def _forget(self, frames: Sequence[_Waiting]) -> None:
        for waiting in frames:
            self.bytes.give(waiting.size)

    async def drain(self) -> None:
        """End all streams because the server stops; their callers resume them on another server."""
        for queue in list(self._queues):
            await queue.end(stopping())

    async def _answer(self, session: VideoSession, waiting: _Waiting, dropped: int) -> pb.AnalyzeStreamResponse:
        frame, context = waiting.frame, waiting.context
        try:
            if waiting.error:
                reply = refusal(frame, waiting.error)
                reply.dropped_frames = dropped
                return reply
            context.limit(FRAME_SECONDS)
            context.spans.add_since("queue", 0.0)
            with self._admission.counted(waiting.size, context.caller):
                return await session.analyze(frame, dropped, context)
        finally:
            context.cancelled.set()
            self.bytes.give(waiting.size)

    @contextmanager
    def _admitted(self, caller: str) -> Iterator[None]:
        own = self._open.of(caller)
        if caller and self._max_per_caller is not None and own >= self._max_per_caller:
            raise OverloadedError(
                f"{caller} has as many streams as it may have ({own}); end one of them",
                reason="CALLER_LIMIT",
                retry_after=_RETRY_SECONDS,
            )
        if self._open.is_full():
            raise OverloadedError(
                f"the server has {self.open} streams, its maximum; try again later",
                reason="STREAMS_EXHAUSTED",
                retry_after=_RETRY_SECONDS,
            )
        if self._open.exceeds_share(caller):
            raise OverloadedError(
                f"{caller} has {own} streams, which leave too few for other callers; try again later",
                reason="STREAMS_EXHAUSTED",
                retry_after=_RETRY_SECONDS,
            )
        with self._open.taken(caller):
            yield

    async def _next(self, requests: AsyncIterator[pb.AnalyzeStreamRequest]) -> pb.AnalyzeStreamRequest | None:
        """Return the next message, None after the last one."""
        try:
            async with asyncio.timeout(self._limits.idle_timeout_s):
                return await anext(requests, None)
        except TimeoutError as error:
            raise DeadlineExceededError(
                f"no frame arrived for {self._limits.idle_timeout_s:g} s; open another stream to continue",
                reason="STREAM_IDLE",
            ) from error

    async def _configured(self, requests: AsyncIterator[pb.AnalyzeStreamRequest]) -> VideoConfig:
        first = await self._next(requests)
        if first is None or first.WhichOneof("content") != "config":
            raise InvalidRequestError(
                "the first message of a stream must be its configuration, before the frames",
                reason="STREAM_CONFIG_MISSING",
            )
        message = first.config
        wanted = message.max_faces if message.HasField("max_faces") else None
        return VideoConfig.read(message, self._tasks(message.tasks), self._ensemble.face_stage.limit(wanted))

    def _tasks(self, names: Sequence[str]) -> list[Task]:
        """Return the tasks of a stream; raises `InvalidRequestError` for one that streams do not have."""
        tasks = self._ensemble.tasks(names)
        still = [task for task in tasks if task not in INTERVALS_MS]
        if names and still:
            raise InvalidRequestError(
                f"task {still[0]!r} is for single images only; streams have: {', '.join(INTERVALS_MS)}",
                reason="TASK_UNKNOWN",
            )
        return [task for task in tasks if task in INTERVALS_MS]

    async def _read(
        self,
        requests: AsyncIterator[pb.AnalyzeStreamRequest],
        queue: FrameQueue[_Waiting],
        check: "_FrameCheck",
        context: RequestContext,
        *,
        latest: bool,
    ) -> None:
        """Put the caller's frames into the queue, as fast as the queue accepts them."""
        error: Exception | None = None
        try:
            while (request := await self._next(requests)) is not None:
                if request.WhichOneof("content") != "frame":
                    raise InvalidRequestError(
                        "every message after the configuration must be a frame", reason="STREAM_MESSAGE_INVALID"
                    )
                own = replace(context, spans=SpanRecorder(), cancelled=type(context.cancelled)())
                waiting = _Waiting(request.frame, own, check.error(request.frame))
                if not latest:
                    await self.bytes.take(waiting.size)
                elif not self.bytes.try_take(waiting.size):
                    queue.drop()
                    continue
                left: Sequence[_Waiting] = [waiting]
                try:
                    left = await queue.put(waiting)
                finally:
                    self._forget(left)
        except Exception as raised:
            error = raised
        await queue.end(error)


def stopping() -> MienError:
    """Return the error of a stream on a stopping server."""
    return ServerUnavailableError("the server is stopping; resume on another one", reason="SERVER_STOPPING")


class _FrameCheck:
    """Checks the frames of one stream in their order."""

    def __init__(self, limits: StreamsSettings, last_ms: float | None) -> None:
        """Start after the timestamp of an earlier frame; None for a new stream."""
        self._limits = limits
        self._last_ms = last_ms
        self._second: deque[float] = deque()
        """Times of the frames of the last second."""

    def error(self, frame: pb.Frame) -> MienError | None:
        """Return the error of a frame, or None; a refused frame does not advance the timestamp."""
        now_ms, last_ms = frame.timestamp_ms, self._last_ms
        if not math.isfinite(now_ms) or abs(now_ms) > _LATEST_MS:
            return InvalidRequestError(
                f"a timestamp must be a number of milliseconds, not {now_ms}", reason="TIMESTAMP_INVALID"
            )
        if last_ms is not None and now_ms <= last_ms:
            return InvalidRequestError(
                f"timestamps must rise: {now_ms:g} ms after {last_ms:g} ms", reason="TIMESTAMP_NOT_RISING"
            )
        while self._second and self._second[0] <= now_ms - 1000:
            self._second.popleft()
        if len(self._second) >= self._limits.max_frame_rate:
            return OverloadedError(
                f"more than {self._limits.max_frame_rate:g} frames in a second; send fewer",
                reason="FRAME_RATE_EXCEEDED",
            )
        self._last_ms = now_ms
        self._second.append(now_ms)
        return None
