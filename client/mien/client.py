"""The SDK's two clients: the same calls, plain and for asyncio."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from mien.request import ImageSource, analyze_request, model_name, seconds
from mien.transport.base import AsyncEngine, Engine
from mien.transport.connection import Connection, Tls
from mien.transport.grpc import AsyncRemoteEngine, RemoteEngine
from mien.transport.local import async_embedded, embedded
from mien.types.analysis import Analysis
from mien.types.server_info import ModelCard, ModelInfo, ServerInfo, model_info

DEFAULT_TIMEOUT = 30.0
"""Seconds that a call waits for its answer, unless it says otherwise."""


class Client:
    """Analyzes photographs, on a server or, where none is named, in this process.

    `server` is `host:port`, or a list of such addresses over which calls are spread; without it `MIEN_SERVER` counts,
    and without that the engine of this process (`pip install 'mien[local]'`). `tls` is for a server that speaks TLS,
    `token` for one that wants a token (without it `MIEN_TOKEN` counts). Calls are made up to four times where the
    server is not there, or says when to come again, within `timeout` seconds.
    Safe to use from several threads, but not across a fork: make a client in each process. Every method raises
    `MienError`.

        with mien.Client() as client:
            print(client.analyze("photo.jpg"))
    """

    def __init__(
        self,
        server: str | Sequence[str] | None = None,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        tls: Tls | None = None,
        token: str | None = None,
    ) -> None:
        self.timeout = seconds(timeout, DEFAULT_TIMEOUT)
        connection = Connection.find(server, tls, token)
        self._engine: Engine = RemoteEngine(connection) if connection else embedded()

    def analyze(
        self,
        image: ImageSource,
        *,
        tasks: Sequence[str] | None = None,
        max_faces: int = 0,
        all_or_nothing: bool = False,
        timeout: float | None = None,
    ) -> Analysis:
        """Say what the faces of one image look like.

        `image` is a path, an image file's bytes or an (H, W, 3) uint8 RGB array; `tasks` some of the server's
        (all by default); `max_faces` keeps the largest (0: the server's limit); with `all_or_nothing` a failed task
        fails the call, without it the task's status says why; `timeout` is in seconds.
        """
        request = analyze_request(image, tasks=tasks, max_faces=max_faces, all_or_nothing=all_or_nothing)
        return Analysis.from_message(self._engine.analyze(request, seconds(timeout, self.timeout)))

    def models(self, *, timeout: float | None = None) -> tuple[ModelInfo, ...]:
        """List the models, those in use first."""
        reply = self._engine.list_models(seconds(timeout, self.timeout))
        return tuple(model_info(model) for model in reply.models)

    def model_card(self, name: str, *, timeout: float | None = None) -> ModelCard:
        """Return a model's card, by a name of `models`; raises `NotFoundError` where there is none of that name."""
        return ModelCard.from_message(self._engine.model_card(model_name(name), seconds(timeout, self.timeout)))

    def server_info(self, *, timeout: float | None = None) -> ServerInfo:
        """Say what answers and what it takes: tasks, formats, limits, version."""
        return ServerInfo.from_message(self._engine.server_info(seconds(timeout, self.timeout)))

    def close(self) -> None:
        """Close the channel, or free the engine of this process."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient:
    """As `Client`, for asyncio; used on one event loop.

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
    ) -> None:
        self.timeout = seconds(timeout, DEFAULT_TIMEOUT)
        connection = Connection.find(server, tls, token)
        self._engine: AsyncEngine = AsyncRemoteEngine(connection) if connection else async_embedded()

    async def analyze(
        self,
        image: ImageSource,
        *,
        tasks: Sequence[str] | None = None,
        max_faces: int = 0,
        all_or_nothing: bool = False,
        timeout: float | None = None,
    ) -> Analysis:
        """Say what the faces of one image look like; see `Client.analyze`."""
        wait = seconds(timeout, self.timeout)
        request = await asyncio.to_thread(
            analyze_request, image, tasks=tasks, max_faces=max_faces, all_or_nothing=all_or_nothing
        )
        return Analysis.from_message(await self._engine.analyze(request, wait))

    async def models(self, *, timeout: float | None = None) -> tuple[ModelInfo, ...]:
        """List the models, those in use first."""
        reply = await self._engine.list_models(seconds(timeout, self.timeout))
        return tuple(model_info(model) for model in reply.models)

    async def model_card(self, name: str, *, timeout: float | None = None) -> ModelCard:
        """Return a model's card; see `Client.model_card`."""
        return ModelCard.from_message(await self._engine.model_card(model_name(name), seconds(timeout, self.timeout)))

    async def server_info(self, *, timeout: float | None = None) -> ServerInfo:
        """Say what answers and what it takes: tasks, formats, limits, version."""
        return ServerInfo.from_message(await self._engine.server_info(seconds(timeout, self.timeout)))

    async def close(self) -> None:
        """Close the channel, or free the engine of this process."""
        await self._engine.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
