"""The gRPC edge: converts, delegates to the service, and turns errors into rich statuses."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from mien.errors import InvalidRequestError, MienError, OverloadedError, ServerError, ServerUnavailableError
from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceServicer, add_FaceAnalysisServiceServicer_to_server
from mien_models.spec import Task
from mien_orchestrator.service import FaceAnalysis
from mien_orchestrator.settings import Settings

_LOG = logging.getLogger(__name__)

SERVICE = "mien.v1.FaceAnalysisService"
"""Name of the service, in health checks too."""

_LONGEST = 60.0
"""Seconds that a request without a deadline may take."""

_MESSAGE_OVERHEAD = 64 * 1024
"""Bytes that a request may be larger than its image."""

_STATUS = {True: health_pb2.HealthCheckResponse.SERVING, False: health_pb2.HealthCheckResponse.NOT_SERVING}

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class Servicer(FaceAnalysisServiceServicer):
    """Passes calls on to the service."""

    def __init__(self, service: FaceAnalysis) -> None:
        self._service = service

    async def Analyze(self, request: pb.AnalyzeRequest, context: Context) -> pb.AnalyzeResponse:
        """Analyze one image within the caller's deadline."""
        remaining = context.time_remaining()
        return await self._service.analyze(request, _LONGEST if remaining is None else min(remaining, _LONGEST))

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        """List the models."""
        return self._service.list_models()

    async def GetServerInfo(self, request: pb.GetServerInfoRequest, context: Context) -> pb.GetServerInfoResponse:
        """Say what the server is and takes."""
        return self._service.server_info()


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Ends a failed call with its error's status; what nobody foresaw is logged, and told as INTERNAL only."""

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]",
        details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Wrap the handler of a unary call."""
        handler = await continuation(details)
        if handler is None or handler.unary_unary is None or handler.request_deserializer is None:
            return handler
        inner, deserialize = handler.unary_unary, handler.request_deserializer

        async def guarded(request: Any, context: Context) -> Any:
            try:
                request = _parse(deserialize, request)
                return await inner(request, context)  # type: ignore[arg-type]  # stubs know the synchronous context only
            except MienError as error:
                failure = error
            except Exception:
                if context.done():
                    raise
                _LOG.exception("%s failed", details.method)
                failure = ServerError("the server failed; its log says why")
            status = rpc_status.to_status(rich_status(failure))
            return await context.abort(_CODES[failure.code], failure.message, status.trailing_metadata)

        return grpc.unary_unary_rpc_method_handler(
            guarded,
            request_deserializer=None,  # parsed above, where an error gets its status
            response_serializer=handler.response_serializer,
        )


def _parse(deserialize: Callable[[bytes], Any], request: bytes) -> Any:
    try:
        return deserialize(request)
    except DecodeError as error:
        raise InvalidRequestError("the request is no message of this call", reason="MESSAGE_UNDECODABLE") from error


def rich_status(error: MienError) -> status_pb2.Status:
    """Return an error as a `google.rpc.Status` with its `ErrorInfo`, and its `RetryInfo` where it has one."""
    status = status_pb2.Status(code=error.code, message=error.message)
    reason = error.reason or code_pb2.Code.Name(error.code)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain="mien"))
    if isinstance(error, OverloadedError) and error.retry_after is not None:
        advice = error_details_pb2.RetryInfo()
        advice.retry_delay.FromTimedelta(timedelta(seconds=error.retry_after))
        status.details.add().Pack(advice)
    return status


class Server:
    """A grpc.aio server over a service, with `grpc.health.v1` for itself and for each task."""

    def __init__(self, service: FaceAnalysis, settings: Settings, *, shared_port: bool = False) -> None:
        """`shared_port` lets several processes of one machine listen on the same port."""
        self._settings = settings
        self._shared_port = shared_port
        self._service = service
        self._health = health.aio.HealthServicer()
        self._telling: set[asyncio.Task[None]] = set()
        self.address = ""
        """`host:port`, once started."""

    async def start(self) -> None:
        """Listen, and report SERVING; raises `ServerUnavailableError` where the address cannot be had."""
        limit = self._settings.max_image_bytes + _MESSAGE_OVERHEAD
        options = [
            ("grpc.so_reuseport", int(self._shared_port)),
            ("grpc.max_receive_message_length", limit),
            ("grpc.max_send_message_length", -1),
        ]
        self._server = grpc.aio.server(interceptors=[ErrorInterceptor()], options=options)
        add_FaceAnalysisServiceServicer_to_server(Servicer(self._service), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        wanted = f"{self._settings.host}:{self._settings.port}"
        try:
            port = self._server.add_insecure_port(wanted)
        except RuntimeError as error:
            raise ServerUnavailableError(
                f"cannot listen on {wanted}: is the port taken, is the address this machine's?"
            ) from error
        self.address = f"{self._settings.host}:{port}"
        await self._server.start()
        for name in ("", SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        for task in self._service.tasks:
            await self._health.set(task, _STATUS[self._service.health.serves(task)])
        self._service.health.listen(self._tell)

    def _tell(self, task: Task, serves: bool) -> None:
        telling = asyncio.get_running_loop().create_task(self._health.set(task, _STATUS[serves]))
        self._telling.add(telling)  # the loop itself does not keep it
        telling.add_done_callback(self._telling.discard)

    async def stop(self) -> None:
        """Report NOT_SERVING, let calls in flight end for the drain time, then stop."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(self._settings.drain_seconds)

    async def wait(self) -> None:
        """Wait until the server has stopped."""
        await self._server.wait_for_termination()
