"""An engine behind a gRPC channel."""

import json

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from mien.errors import InvalidRequestError, MienError, from_status
from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceStub

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


def address(server: str) -> str:
    """Return the gRPC target of `host:port`, a DNS name with several addresses included."""
    if not server or any(character.isspace() for character in server):
        raise InvalidRequestError(f"a server is named as host:port, not {server!r}")
    return server if ":///" in server or server.startswith("unix:") else f"dns:///{server}"


class RemoteEngine:
    """Calls a server."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._channel = grpc.insecure_channel(address(server), OPTIONS)
        self._stub = FaceAnalysisServiceStub(self._channel)

    def analyze(self, request: pb.AnalyzeRequest, timeout: float) -> pb.AnalyzeResponse:
        """Analyze one image."""
        try:
            return self._stub.Analyze(request, timeout=timeout)
        except grpc.RpcError as error:
            raise read_error(error, self._server) from error

    def list_models(self, timeout: float) -> pb.ListModelsResponse:
        """List the server's models."""
        try:
            return self._stub.ListModels(pb.ListModelsRequest(), timeout=timeout)
        except grpc.RpcError as error:
            raise read_error(error, self._server) from error

    def server_info(self, timeout: float) -> pb.GetServerInfoResponse:
        """Ask the server what it is and takes."""
        try:
            return self._stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=timeout)
        except grpc.RpcError as error:
            raise read_error(error, self._server) from error

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


class AsyncRemoteEngine:
    """Calls a server from asyncio."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._channel = grpc.aio.insecure_channel(address(server), OPTIONS)
        self._stub = FaceAnalysisServiceStub(self._channel)

    async def analyze(self, request: pb.AnalyzeRequest, timeout: float) -> pb.AnalyzeResponse:
        """Analyze one image."""
        try:
            return await self._stub.Analyze(request, timeout=timeout)
        except grpc.RpcError as error:
            raise read_error(error, self._server) from error

    async def list_models(self, timeout: float) -> pb.ListModelsResponse:
        """List the server's models."""
        try:
            return await self._stub.ListModels(pb.ListModelsRequest(), timeout=timeout)
        except grpc.RpcError as error:
            raise read_error(error, self._server) from error

    async def server_info(self, timeout: float) -> pb.GetServerInfoResponse:
        """Ask the server what it is and takes."""
        try:
            return await self._stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=timeout)
        except grpc.RpcError as error:
            raise read_error(error, self._server) from error

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()


def read_error(error: grpc.RpcError, server: str) -> MienError:
    """Turn what gRPC raised into the error that it stands for."""
    assert isinstance(error, grpc.Call | grpc.aio.AioRpcError)
    code, text = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE:
        text = f"no server answers at {server} ({text}); is it running, and is the address right?"
    elif code is grpc.StatusCode.DEADLINE_EXCEEDED:
        text = f"{server} gave no answer in time; raise the timeout, or see whether the server is overloaded"
    return from_status(code.value[0], text, _reason(error))


def _reason(error: grpc.Call | grpc.aio.AioRpcError) -> str:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # an AioRpcError has what it reads of a Call
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else ():
        if detail.Unpack(info):
            return str(info.reason)
    return ""
