"""The client of the SDK for asyncio."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mien.client import DEFAULT_CONNECT_TIMEOUT, DEFAULT_TIMEOUT
from mien.images import LARGE_BYTES, ImageSource, check_size, size_of
from mien.pixels import Color
from mien.request import TaskName, analyze_request, call_metadata, checked_metadata, seconds
from mien.transport import calls
from mien.transport.base import AsyncEngine
from mien.transport.calls import Call, Value
from mien.transport.connection import Connection
from mien.transport.grpc import AsyncRemoteEngine
from mien.transport.local import AsyncLocalEngine
from mien.transport.methods import Request, Response
from mien.transport.tls import Tls
from mien.types.analysis import Analysis
from mien.types.model_info import ModelInfo
from mien.types.server_info import ModelCard, ServerInfo
from mien.types.video import FrameResult
from mien.video.async_stream import AsyncStream
from mien.video.messages import FrameSource
from mien.video.options import DEFAULT_FRAME_RATE, DropPolicy, StreamOptions

if TYPE_CHECKING:
    from mien_orchestrator.settings import Settings


class AsyncClient:
    """As `Client`, for asyncio. A client of a server belongs to the event loop of its first call.

    async with mien.AsyncClient("localhost:50051") as client:
        print(await client.analyze("photo.jpg"))
    """

    def __init__(
        self,
        server: str | Sequence[str] | None = None,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        tls: Tls | None = None,
        token: str | None = None,
        metadata: Mapping[str, str] | None = None,
        connect_timeout: float = DEFAULT_CONNECT_TIMEOUT,
    ) -> None:
        """Create a client; see `Client`. In local mode the first call loads the models, outside of the event loop.

        Raises:
            InvalidRequestError: an argument or a variable is invalid.

        """
        self.timeout = seconds(timeout, DEFAULT_TIMEOUT)
        self._metadata = checked_metadata(metadata)
        connection = Connection.find(server, tls, token, connect_timeout)
        self._engine: AsyncEngine = AsyncRemoteEngine(connection) if connection else AsyncLocalEngine()

    @classmethod
    def local(
        cls, settings: "Settings | Mapping[str, object] | None" = None, *, timeout: float = DEFAULT_TIMEOUT
    ) -> Self:
        """Create a client that analyzes in this process; see `Client.local`.

        The first call loads the models, outside of the event loop, and raises what `Client.local` raises.
        """
        client = cls.__new__(cls)
        client.timeout = seconds(timeout, DEFAULT_TIMEOUT)
        client._metadata = {}
        client._engine = AsyncLocalEngine(settings)
        return client

    async def analyze(
        self,
        image: ImageSource,
        *,
        color: Color = "rgb",
        tasks: Sequence[TaskName] | None = None,
        max_faces: int | None = None,
        models: Mapping[TaskName, str] | None = None,
        all_or_nothing: bool = False,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
        request_id: str | None = None,
    ) -> Analysis:
        """Estimate age, gender, emotion and mood of the faces in an image; see `Client.analyze`."""
        limit = seconds(timeout, self.timeout)
        sent = call_metadata(self._metadata, metadata, request_id)
        if size_of(image) > LARGE_BYTES:
            began = time.monotonic()
            check_size(image, (await self.server_info(timeout=limit)).max_image_bytes)
            limit -= time.monotonic() - began
        request = await asyncio.to_thread(
            analyze_request,
            image,
            color=color,
            tasks=tasks,
            max_faces=max_faces,
            models=models,
            all_or_nothing=all_or_nothing,
        )
        call = calls.analyze(request)
        return call.result(await self._engine.call(call.method, call.request, limit, sent))

    async def stream(
        self,
        frames: AsyncIterable[FrameSource] | Iterable[FrameSource],
        *,
        tasks: Sequence[TaskName] | None = None,
        max_faces: int | None = None,
        smoothing_half_life_ms: float | None = None,
        detection_interval: int | None = None,
        attribute_intervals_ms: Mapping[TaskName, float] | None = None,
        drop_policy: DropPolicy = "none",
        frame_rate: float = DEFAULT_FRAME_RATE,
        metadata: Mapping[str, str] | None = None,
        request_id: str | None = None,
    ) -> AsyncGenerator[FrameResult]:
        """Follow the faces of a video; see `Client.stream`. A plain iterable is iterated in a thread."""
        options = StreamOptions(
            tasks=tasks,
            max_faces=max_faces,
            smoothing_half_life_ms=smoothing_half_life_ms,
            detection_interval=detection_interval,
            attribute_intervals_ms=attribute_intervals_ms,
            drop_policy=drop_policy,
            frame_rate=frame_rate,
        )
        sent = call_metadata(self._metadata, metadata, request_id)
        async with aclosing(AsyncStream(self._engine, options, sent, self.timeout).results(frames)) as results:
            async for result in results:
                yield result

    async def models(self, *, timeout: float | None = None) -> tuple[ModelInfo, ...]:
        """Return the server's models, those in use first; see `Client.models`."""
        return await self._run(calls.models(), timeout)

    async def model_card(self, name: str, *, timeout: float | None = None) -> ModelCard:
        """Return a model's card; see `Client.model_card`."""
        return await self._run(calls.model_card(name), timeout)

    async def server_info(self, *, timeout: float | None = None) -> ServerInfo:
        """Return the server's version, tasks, formats and limits; see `Client.server_info`."""
        return await self._run(calls.server_info(), timeout)

    async def _run(self, call: Call[Request, Response, Value], timeout: float | None) -> Value:
        limit, sent = seconds(timeout, self.timeout), call_metadata(self._metadata)
        return call.result(await self._engine.call(call.method, call.request, limit, sent))

    async def close(self) -> None:
        """Refuse further calls, and free the connection or the models. May be called again."""
        await self._engine.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
