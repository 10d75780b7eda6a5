"""An engine behind a gRPC channel."""

import json
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from mien.errors import ImageError, InvalidRequestError, MienError, OverloadedError, closed, from_status
from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceStub

if TYPE_CHECKING:
    from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceAsyncStub  # known to the type stubs alone

T = TypeVar("T")

_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": "mien.v1.FaceAnalysisService"}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.05s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
    "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},
}

OPTIONS: list[tuple[str, str | int]] = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.enable_retries", 1),
    ("grpc.max_send_message_length", -1),  # the server's limit counts, and its error says so
    ("grpc.max_receive_message_length", -1),
]


_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):\d{1,5}")


def address(server: str) -> str:
    """Return the gRPC target of `host:port`, a DNS name with several addresses included; full targets are kept.

    Raises `InvalidRequestError`.
    """
    if not isinstance(server, str):
        raise InvalidRequestError(f"a server is named as host:port, not {server!r}")
    if server.startswith(("unix:", "dns:///", "ipv4:", "ipv6:", "xds:///")):
        return server
    if not _HOST_AND_PORT.fullmatch(server):
        raise InvalidRequestError(f"a server is named as host:port, such as localhost:50051, not {server!r}")
    return f"dns:///{server}"


class RemoteEngine:
    """Calls a server."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._channel = grpc.insecure_channel(address(server), OPTIONS)
        self._stub = FaceAnalysisServiceStub(self._channel)
        self._closed = False

    def analyze(self, request: pb.AnalyzeRequest, timeout: float) -> pb.AnalyzeResponse:
        """Analyze one image."""
        return self._call(self._stub.Analyze, request, timeout)

    def list_models(self, timeout: float) -> pb.ListModelsResponse:
        """List the server's models."""
        return self._call(self._stub.ListModels, pb.ListModelsRequest(), timeout)

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
        try:
            return method(request, timeout=timeout)
        except grpc.RpcError as error:
            raise closed() if self._closed else read_error(error, self._server) from error


class AsyncRemoteEngine:
    """Calls a server from asyncio; the channel is made by the first call, on that call's event loop."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._target = address(server)
        self._channel: grpc.aio.Channel | None = None
        self._closed = False

    async def analyze(self, request: pb.AnalyzeRequest, timeout: float) -> pb.AnalyzeResponse:
        """Analyze one image."""
        return await self._call(self._stub().Analyze, request, timeout)

    async def list_models(self, timeout: float) -> pb.ListModelsResponse:
        """List the server's models."""
        return await self._call(self._stub().ListModels, pb.ListModelsRequest(), timeout)

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
            self._channel = grpc.aio.insecure_channel(self._target, OPTIONS)
        return FaceAnalysisServiceStub(self._channel)

    async def _call(self, method: Callable[..., Awaitable[T]], request: Message, timeout: float) -> T:
        try:
            return await method(request, timeout=timeout)
        except grpc.RpcError as error:
            raise closed() if self._closed else read_error(error, self._server) from error


def read_error(error: grpc.RpcError, server: str) -> MienError:
    """Turn what gRPC raised into the error that it stands for."""
    assert isinstance(error, grpc.Call | grpc.aio.AioRpcError)
    code, text = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE:
        text = f"no server answers at {server} ({text}); is it running, and is the address right?"
    elif code is grpc.StatusCode.DEADLINE_EXCEEDED:
        text = f"{server} gave no answer in time; raise the timeout, or see whether the server is overloaded"
    elif code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in text:
        return ImageError(f"the image is larger than {server} takes ({text})", reason="IMAGE_TOO_LARGE")
    mapped = from_status(code.value[0], text, _reason(error))
    if isinstance(mapped, OverloadedError):
        mapped.retry_after = _retry_after(error)
    return mapped


def _retry_after(error: grpc.Call | grpc.aio.AioRpcError) -> float | None:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # an AioRpcError has what it reads of a Call
    advice = error_details_pb2.RetryInfo()
    for detail in status.details if status else ():
        if detail.Unpack(advice):
            return float(advice.retry_delay.ToTimedelta().total_seconds())
    return None


def _reason(error: grpc.Call | grpc.aio.AioRpcError) -> str:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else ():
        if detail.Unpack(info):
            return "" if info.reason == error.code().name else str(info.reason)
    return ""
