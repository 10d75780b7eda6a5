"""An engine behind a gRPC channel."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import grpc
from google.protobuf.message import Message

from mien.errors import closed
from mien.transport.channel import open_async_channel, open_channel
from mien.transport.connection import Connection
from mien.transport.grpc_errors import advised_wait, read_error
from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceStub

if TYPE_CHECKING:
    from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceAsyncStub  # known to the type stubs alone

T = TypeVar("T")


class RemoteEngine:
    """Calls a server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel = open_channel(connection)
        self._stub = FaceAnalysisServiceStub(self._channel)
        self._closed = False

    def analyze(self, request: pb.AnalyzeRequest, timeout: float) -> pb.AnalyzeResponse:
        """Analyze one image."""
        return self._call(self._stub.Analyze, request, timeout)

    def list_models(self, timeout: float) -> pb.ListModelsResponse:
        """List the server's models."""
        return self._call(self._stub.ListModels, pb.ListModelsRequest(), timeout)

    def model_card(self, name: str, timeout: float) -> pb.GetModelCardResponse:
        """Ask for a model's card."""
        return self._call(self._stub.GetModelCard, pb.GetModelCardRequest(name=name), timeout)

    def server_info(self, timeout: float) -> pb.GetServerInfoResponse:
        """Ask the server what it is and takes."""
        return self._call(self._stub.GetServerInfo, pb.GetServerInfoRequest(), timeout)

    def close(self) -> None:
        """Close the channel."""
        self._closed = True
        self._channel.close()

    def _call(self, method: Callable[..., T], request: Message, timeout: float) -> T:
        if self._closed:
            raise closed()
        deadline, attempt = time.monotonic() + timeout, 0
        while True:
            attempt += 1
            try:
                left = deadline - time.monotonic()
                return method(request, timeout=left, metadata=self._connection.metadata)
            except grpc.RpcError as error:
                wait = advised_wait(error, attempt, deadline - time.monotonic())
                if self._closed or wait is None:
                    raise closed() if self._closed else read_error(error, self._connection) from error
            time.sleep(wait)


class AsyncRemoteEngine:
    """Calls a server from asyncio; the channel is made by the first call, on that call's event loop."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        connection.check()
        self._channel: grpc.aio.Channel | None = None
        self._closed = False

    async def analyze(self, request: pb.AnalyzeRequest, timeout: float) -> pb.AnalyzeResponse:
        """Analyze one image."""
        return await self._call(self._stub().Analyze, request, timeout)

    async def list_models(self, timeout: float) -> pb.ListModelsResponse:
        """List the server's models."""
        return await self._call(self._stub().ListModels, pb.ListModelsRequest(), timeout)

    async def model_card(self, name: str, timeout: float) -> pb.GetModelCardResponse:
        """Ask for a model's card."""
        return await self._call(self._stub().GetModelCard, pb.GetModelCardRequest(name=name), timeout)

    async def server_info(self, timeout: float) -> pb.GetServerInfoResponse:
        """Ask the server what it is and takes."""
        return await self._call(self._stub().GetServerInfo, pb.GetServerInfoRequest(), timeout)

    async def close(self) -> None:
        """Close the channel."""
        self._closed = True
        if self._channel:
            await self._channel.close()

    def _stub(self) -> "FaceAnalysisServiceAsyncStub":
        if self._closed:
            raise closed()
        if self._channel is None:
            self._channel = open_async_channel(self._connection)
        return FaceAnalysisServiceStub(self._channel)

    async def _call(self, method: Callable[..., Awaitable[T]], request: Message, timeout: float) -> T:
        deadline, attempt = time.monotonic() + timeout, 0
        while True:
            attempt += 1
            try:
                left = deadline - time.monotonic()
                return await method(request, timeout=left, metadata=self._connection.metadata)
            except grpc.RpcError as error:
                wait = advised_wait(error, attempt, deadline - time.monotonic())
                if self._closed or wait is None:
                    raise closed() if self._closed else read_error(error, self._connection) from error
            await asyncio.sleep(wait)
