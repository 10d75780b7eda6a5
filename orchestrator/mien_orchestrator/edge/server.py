"""The gRPC edge: converts, delegates to the service, and turns errors into rich statuses."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from google.protobuf.message import DecodeError
from google.rpc import status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

from mien.errors import (
    InvalidRequestError,
    MienError,
    ServerError,
    ServerUnavailableError,
    SettingsError,
    UnsupportedError,
)
from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceServicer, add_FaceAnalysisServiceServicer_to_server
from mien_models.spec import Task
from mien_orchestrator.edge.interceptors import Handler, ObserveInterceptor, Rpc
from mien_orchestrator.edge.status import details_of, metadata_of
from mien_orchestrator.edge.tls import server_credentials
from mien_orchestrator.edge.token_interceptor import TokenInterceptor
from mien_orchestrator.edge.tokens import TokenFile
from mien_orchestrator.pipeline import request_context
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.settings import Settings
from mien_orchestrator.telemetry.logs import CallLog
from mien_orchestrator.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from mien_orchestrator.telemetry.tracing import Traces  # imported only where traces are sent

_LOG = logging.getLogger(__name__)

SERVICE = "mien.v1.FaceAnalysisService"
"""Name of the service, in health checks too."""

_MESSAGE_OVERHEAD = 64 * 1024
"""Bytes that a request may be larger than its image."""

_KEEPALIVE = [
    ("grpc.keepalive_time_ms", 60_000),  # a caller that vanished without a word is noticed, and its call ended
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # callers may ping as often as the SDK does
    ("grpc.keepalive_permit_without_calls", 1),
]

_STATUS = {True: health_pb2.HealthCheckResponse.SERVING, False: health_pb2.HealthCheckResponse.NOT_SERVING}

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class Servicer(FaceAnalysisServiceServicer):
    """Passes calls on to the service."""

    def __init__(self, service: FaceAnalysis) -> None:
        self._service = service

    async def Analyze(self, request: pb.AnalyzeRequest, rpc: Rpc) -> pb.AnalyzeResponse:
        """Analyze one image within the caller's deadline."""
        current = request_context.current()
        assert current, "ObserveInterceptor begins a context for every call"
        return await self._service.analyze(request, current)

    async def ListModels(self, request: pb.ListModelsRequest, rpc: Rpc) -> pb.ListModelsResponse:
        """List the models."""
        return self._service.list_models()

    async def GetModelCard(self, request: pb.GetModelCardRequest, rpc: Rpc) -> pb.GetModelCardResponse:
        """Return a model's card."""
        return self._service.model_card(request.name)

    async def GetServerInfo(self, request: pb.GetServerInfoRequest, rpc: Rpc) -> pb.GetServerInfoResponse:
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
        if handler is None:
            return refuse(UnsupportedError("this server has no such call; is it older than the caller?"))
        if handler.unary_unary is None or handler.request_deserializer is None:
            return handler
        inner, deserialize = handler.unary_unary, handler.request_deserializer

        async def guarded(request: Any, rpc: Rpc) -> Any:
            try:
                request = _parse(deserialize, request)
                return await inner(request, rpc)  # type: ignore[arg-type]  # stubs know the synchronous context only
            except MienError as error:
                failure = error
            except Exception:
                if rpc.done():
                    raise
                _LOG.exception("%s failed", details.method)
                failure = ServerError("the server failed; its log says why")
            return await _abort(rpc, failure)

        return grpc.unary_unary_rpc_method_handler(
            guarded,
            request_deserializer=None,  # parsed above, where an error gets its status
            response_serializer=handler.response_serializer,
        )


async def _abort(rpc: Rpc, error: MienError) -> NoReturn:
    status = rich_status(error)
    metadata = (*rpc_status.to_status(status).trailing_metadata, *metadata_of(status))
    await rpc.abort(_CODES[error.code], error.message, metadata)


def refuse(error: MienError) -> "Handler":
    """Return a handler that ends any call, unary or streamed, with an error, before a message is read."""

    async def refused(requests: Any, rpc: Rpc) -> None:
        await _abort(rpc, error)

    return grpc.stream_stream_rpc_method_handler(refused)


def _parse(deserialize: Callable[[bytes], Any], request: bytes) -> Any:
    try:
        return deserialize(request)
    except DecodeError as error:
        raise InvalidRequestError("the request is no message of this call", reason="MESSAGE_UNDECODABLE") from error


def rich_status(error: MienError) -> status_pb2.Status:
    """Return an error as a `google.rpc.Status` with its details."""
    status = status_pb2.Status(code=error.code, message=error.message)
    for detail in details_of(error):
        status.details.add().Pack(detail)
    return status


def make_traces(settings: Settings) -> "Traces | None":
    """Return what sends traces, None where the settings name no collector; raises `SettingsError`."""
    if not settings.otlp_endpoint:
        return None
    try:
        from mien_orchestrator.telemetry.tracing import Traces
    except ImportError as error:
        raise SettingsError(
            f"traces need the package {error.name!r}: pip install 'mien[otel]', or leave otlp_endpoint out"
        ) from error
    return Traces(settings.otlp_endpoint)


class Server:
    """A grpc.aio server over a service, with `grpc.health.v1` for itself and for each task."""

    def __init__(
        self, service: FaceAnalysis, settings: Settings, *, metrics: Metrics | None = None, shared_port: bool = False
    ) -> None:
        """`shared_port` lets several processes of one machine listen on the same port."""
        self._metrics = metrics
        self._traces = make_traces(settings)
        self._settings = settings
        self._shared_port = shared_port
        self._service = service
        self._health = health.aio.HealthServicer()
        self._telling: set[asyncio.Task[None]] = set()
        self.address = ""
        """`host:port`, once started."""

    async def start(self) -> None:
        """Listen, and report SERVING.

        Raises `ServerUnavailableError` where the address cannot be had, `SettingsError` for a wrong TLS or token file.
        """
        credentials = server_credentials(self._settings)
        observers = [observer for observer in (CallLog(), self._metrics, self._traces) if observer]
        interceptors: list[grpc.aio.ServerInterceptor] = [ObserveInterceptor(observers), ErrorInterceptor()]
        if self._settings.token_file:
            interceptors.append(TokenInterceptor(TokenFile(self._settings.token_file), refuse))
        _warn_if_open(self._settings)
        limit = self._settings.max_image_bytes + _MESSAGE_OVERHEAD
        options = [
            ("grpc.so_reuseport", int(self._shared_port)),
            ("grpc.max_receive_message_length", limit),
            ("grpc.max_send_message_length", -1),
            # gRPC cancels a call that was not taken up after 30 s, however long its caller would wait
            ("grpc.server_max_unrequested_time_in_server", int(request_context.MAX_SECONDS)),
            *_KEEPALIVE,
        ]
        self._server = grpc.aio.server(interceptors=interceptors, options=options)
        add_FaceAnalysisServiceServicer_to_server(Servicer(self._service), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if self._settings.reflection:
            reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)
        wanted = f"{self._settings.host}:{self._settings.port}"
        try:
            if credentials:
                port = self._server.add_secure_port(wanted, credentials)
            else:
                port = self._server.add_insecure_port(wanted)
        except RuntimeError as error:
            raise ServerUnavailableError(
                f"cannot listen on {wanted}: is the port taken, is the address this machine's?"
            ) from error
        self.address = f"{self._settings.host}:{port}"
        if self._metrics:
            replicas = self._settings.orchestrator.scaling.max_replicas if self._shared_port else 1
            first = self._settings.metrics_port
            self._metrics.serve(self._settings.host, range(first, first + replicas))
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
        for observer in (self._metrics, self._traces):
            if observer:
                await asyncio.to_thread(observer.stop)

    async def wait(self) -> None:
        """Wait until the server has stopped."""
        await self._server.wait_for_termination()


def _warn_if_open(settings: Settings) -> None:
    """Say so where other machines can reach a server that does not ask who calls, or that can be listened to."""
    if settings.host == "localhost" or settings.host.startswith("127.") or settings.host.strip("[]") == "::1":
        return
    if not settings.tls_certificate:
        _LOG.warning("other machines reach %s without TLS; set tls_certificate and tls_key", settings.host)
    if not settings.token_file and not settings.tls_client_ca:
        _LOG.warning("anybody who reaches %s may call; set token_file or tls_client_ca", settings.host)
