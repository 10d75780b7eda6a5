"""The gRPC server: listens, delegates to the service and drains on shutdown."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from mien.errors import ServerUnavailableError, SettingsError
from mien.transport.methods import ANALYZE, SERVICE
from mien_models.spec import Task
from mien_orchestrator.edge.auth.token_interceptor import TokenInterceptor
from mien_orchestrator.edge.auth.tokens import Authentication
from mien_orchestrator.edge.call_parts import CallParts
from mien_orchestrator.edge.error_interceptor import ErrorInterceptor, refuse
from mien_orchestrator.edge.handlers import add_handlers
from mien_orchestrator.edge.interceptors import ObserveInterceptor
from mien_orchestrator.edge.open_inference.grpc_handlers import add_inference_handlers
from mien_orchestrator.edge.open_inference.models import InferenceModels
from mien_orchestrator.edge.reflection import add_reflection
from mien_orchestrator.edge.tls import http_context, server_credentials
from mien_orchestrator.edge.uploads import UploadGate
from mien_orchestrator.pipeline.request_context import MAX_SECONDS, RequestContext
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.pipeline.video.streams import stopping
from mien_orchestrator.settings import Settings
from mien_orchestrator.telemetry.logs import CallLog
from mien_orchestrator.telemetry.metrics import Metrics
from mien_orchestrator.telemetry.observer import End

if TYPE_CHECKING:
    from mien_orchestrator.edge.http.listener import HttpServer  # imported only if HTTP is enabled
    from mien_orchestrator.telemetry.tracing import Traces  # imported only if traces are enabled

_LOG = logging.getLogger(__name__)

_MESSAGE_OVERHEAD = 64 * 1024
"""Allowance for a request's other fields beside its image, in bytes."""

_KEEPALIVE = [
    ("grpc.keepalive_time_ms", 60_000),  # a client that vanished is detected, and its call ended
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),  # the SDK pings every 10 s during a call
    ("grpc.keepalive_permit_without_calls", 1),
]

_MAX_STREAMS = 200
"""Concurrent calls per connection. gRPC cancels calls that the event loop has not accepted if a connection has many
more, and calls of other clients too."""

_MAX_CONNECTIONS = 2000
"""Maximum number of connections; each has its own buffers."""

_IDLE_SECONDS = 0.3
"""Idle time after which a draining server stops, in seconds: gRPC may hold calls that it has not delivered."""

_STATUS = {True: health_pb2.HealthCheckResponse.SERVING, False: health_pb2.HealthCheckResponse.NOT_SERVING}


class InFlight:
    """Counts the calls in flight; an `Observer`."""

    def __init__(self) -> None:
        self._count = 0
        self._last = 0.0
        """Time at which the last call began or ended."""

    def began(self, context: RequestContext) -> None:
        """Count the start of a call."""
        self._changed(context, 1)

    def ended(self, context: RequestContext, end: End) -> None:
        """Count the end of a call."""
        self._changed(context, -1)

    def _changed(self, context: RequestContext, by: int) -> None:
        if context.is_ours:
            self._count += by
            self._last = time.monotonic()

    async def wait_until_idle(self, seconds: float, ends: float) -> None:
        """Wait until no call has been in flight for `seconds`, or until the point in time `ends`."""
        self._last = time.monotonic()
        while (now := time.monotonic()) < ends:
            idle_at = now + seconds if self._count else self._last + seconds
            if idle_at <= now:
                return
            await asyncio.sleep(min(idle_at, ends) - now)


def make_traces(settings: Settings) -> "Traces | None":
    """Return the trace exporter, or None if no collector is set; raises `SettingsError`."""
    if not settings.telemetry.otlp_endpoint:
        return None
    try:
        from mien_orchestrator.telemetry.tracing import Traces
    except ImportError as error:
        raise SettingsError(
            f"traces need the package {error.name!r}: pip install 'mien[otel]', or unset telemetry.otlp_endpoint"
        ) from error
    return Traces(settings.telemetry.otlp_endpoint)


class Server:
    """A grpc.aio server for a service, with `grpc.health.v1` for the server and each task."""

    def __init__(
        self,
        service: FaceAnalysis,
        settings: Settings,
        *,
        metrics: Metrics | None = None,
        shared_port: bool = False,
        default_http_port: int | None = None,
    ) -> None:
        """Create a server that is not started.

        Args:
            service: Answers the calls.
            settings: Address, limits, tokens and so on.
            metrics: Counts the calls.
            shared_port: Allow several processes of one machine to listen on the same port.
            default_http_port: Port of HTTP on a loopback address if the settings have none; None for no HTTP then.

        """
        self._metrics = metrics
        self._traces = make_traces(settings)
        self._settings = settings
        self._shared_port = shared_port
        self._service = service
        self._former: WeakSet[FaceAnalysis] = WeakSet()
        """Services that were replaced; those whose streams go on still exist."""
        self._health = health.aio.HealthServicer()
        served = settings.server.open_inference
        self._models = InferenceModels(lambda: self._service, self._serves) if served else None
        self._in_flight = InFlight()
        self._http: HttpServer | None = None
        self._http_port = settings.http_port(default_http_port)
        self._draining = False
        self._updates: set[asyncio.Task[None]] = set()
        self.address = ""
        """`host:port`, once started."""
        self.http_address = ""
        """`http://host:port`, once started; empty without HTTP."""

    async def start(self) -> None:
        """Listen, and report SERVING.

        Raises `ServerUnavailableError` if it cannot listen at the address, `SettingsError` for an invalid TLS or token
        file.
        """
        credentials = server_credentials(self._settings)
        self._authentication = Authentication(self._settings.auth)
        limit = self._settings.limits.max_image_bytes + _MESSAGE_OVERHEAD
        uploads = UploadGate(max(1, self._settings.limits.max_concurrent_bytes // limit))
        observers = [observer for observer in (self._in_flight, CallLog(), self._metrics, self._traces) if observer]
        interceptors: list[grpc.aio.ServerInterceptor] = [
            ObserveInterceptor(observers),
            ErrorInterceptor(uploads, self._check_load),
        ]
        interceptors.append(TokenInterceptor(self._authentication, refuse))
        _warn_if_open(self._settings)
        options = [
            ("grpc.so_reuseport", int(self._shared_port)),
            ("grpc.max_receive_message_length", limit),
            ("grpc.max_send_message_length", -1),
            # gRPC cancels calls that were not accepted within 30 s, whatever their deadline
            ("grpc.server_max_unrequested_time_in_server", int(MAX_SECONDS)),
            ("grpc.max_concurrent_streams", _MAX_STREAMS),
            ("grpc.max_allowed_incoming_connections", _MAX_CONNECTIONS),
            *_KEEPALIVE,
        ]
        self._server = grpc.aio.server(interceptors=interceptors, options=options)
        add_handlers(self._call, self._stream, self._server)
        if self._models:
            add_inference_handlers(self._models, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if self._settings.server.reflection:
            add_reflection((SERVICE, health.SERVICE_NAME), self._server)
        wanted = self._settings.server.address()
        try:
            if credentials:
                port = self._server.add_secure_port(wanted, credentials)
            else:
                port = self._server.add_insecure_port(wanted)
        except RuntimeError as error:
            raise ServerUnavailableError(
                f"cannot listen on {wanted}: the port may be in use, or the address not of this machine"
            ) from error
        self.address = self._settings.server.address(port)
        if self._http_port is not None:
            parts = CallParts(self._call, self._stream, observers, self._authentication, uploads, self._check_load)
            await self._start_http(self._http_port, parts)
        if self._metrics and self._settings.telemetry.metrics_port:
            replicas = self._settings.orchestrator.scaling.max_replicas if self._shared_port else 1
            first = self._settings.telemetry.metrics_port
            self._metrics.serve(self._settings.server.host, range(first, first + replicas))
        self._authentication.start()
        await self._server.start()
        for name in ("", SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        for task in self._service.tasks:
            await self._health.set(task, _STATUS[self._service.health.serves(task)])
            if self._metrics:
                self._metrics.set_available(task, self._service.health.serves(task))
        self._service.health.listen(self._set_health)

    async def _start_http(self, port: int, calls: CallParts) -> None:
        try:
            from mien_orchestrator.edge.http.application import Parts, make_application
            from mien_orchestrator.edge.http.listener import HttpServer, bind
        except ImportError as error:
            raise SettingsError(
                f"HTTP needs the package {error.name!r}: pip install 'mien[serve]', or set http.enabled to false",
                reason="PACKAGE_MISSING",
            ) from error
        context = http_context(self._settings)
        try:
            listening = bind(self._settings, port, shared=self._shared_port)
        except ServerUnavailableError as error:
            if self._settings.http.port is not None:
                raise
            _LOG.warning("no HTTP: %s", error)
            return
        scheme = "https" if context else "http"
        self.http_address = f"{scheme}://{self._settings.server.address(listening.getsockname()[1])}"
        parts = Parts(calls, self._settings, self._serves, self._metrics, self._models)
        self._http = HttpServer(make_application(parts), listening, context, self._settings.limits.max_image_bytes)
        await self._http.start()

    def _serves(self, name: str) -> bool | None:
        """Return whether the server (empty name) or a task is ready; None for an unknown task."""
        if name in self._service.tasks:
            return not self._draining and self._service.health.serves(name)
        return None if name else not self._draining

    def _check_load(self, context: RequestContext) -> None:
        if context.method == ANALYZE.path:
            self._service.check_load(context)

    async def _call(self, request: Message, context: RequestContext) -> Message:
        return await self._service.call(request, context)

    def _stream(self, requests: AsyncIterator[Any], context: RequestContext) -> AsyncGenerator[Message]:
        if self._draining:
            raise stopping()
        return self._service.stream(requests, context)

    def replace(self, service: FaceAnalysis, settings: Settings) -> None:
        """Replace the service, tokens and drain time for new calls; calls in flight keep the previous ones.

        Args:
            service: The service, with its models loaded.
            settings: Its settings. Address, TLS, telemetry and the size of messages stay as they are.

        Raises:
            SettingsError: The token file is invalid; nothing has changed.

        """
        self._authentication.replace(settings.auth)
        former, self._service, self._settings = self._service, service, settings
        self._former.add(former)
        former.health.listen(lambda task, serves: None)
        for task in former.tasks:
            if task not in service.tasks:
                self._set_health(task, serves=False)
        for task in service.tasks:
            self._set_health(task, service.health.serves(task))
        service.health.listen(self._set_health)

    def _set_health(self, task: Task, serves: bool) -> None:
        if self._metrics:
            self._metrics.set_available(task, serves)
        update = asyncio.get_running_loop().create_task(self._health.set(task, _STATUS[serves]))
        self._updates.add(update)  # the loop itself does not keep it
        update.add_done_callback(self._updates.discard)

    async def stop(self) -> None:
        """Report NOT_SERVING, serve until no call is in flight or the drain time ends, then stop."""
        ends = time.monotonic() + self._settings.server.drain_s
        self._draining = True
        await self._health.enter_graceful_shutdown()
        for service in (self._service, *self._former):
            await service.drain()
        await self._in_flight.wait_until_idle(_IDLE_SECONDS, ends)
        left = max(0.0, ends - time.monotonic())
        stopping = [self._server.stop(left), *([self._http.stop(left)] if self._http else [])]
        await asyncio.gather(*stopping)
        self._authentication.close()
        for observer in (self._metrics, self._traces):
            if observer:
                await asyncio.to_thread(observer.stop)

    async def wait(self) -> None:
        """Wait until the server has stopped."""
        await self._server.wait_for_termination()


def _warn_if_open(settings: Settings) -> None:
    """Warn if the server is reachable from other machines without authentication or TLS."""
    if settings.server.is_loopback:
        return
    if not settings.tls.certificate:
        _LOG.warning("%s accepts connections without TLS; set tls.certificate and tls.key", settings.server.host)
    if not settings.auth.required and not settings.tls.client_ca:
        _LOG.warning(
            "%s accepts unauthenticated calls; set auth.token_file, auth.jwt or tls.client_ca", settings.server.host
        )
