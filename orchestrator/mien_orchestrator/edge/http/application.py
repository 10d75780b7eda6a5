"""The routes of HTTP: the four RPCs, health, metrics, and their description."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from google.rpc import code_pb2
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp

from mien.errors import MienError, NotFoundError, ServerUnavailableError
from mien.transport.methods import ANALYZE, GET_MODEL_CARD, GET_SERVER_INFO, LIST_MODELS, Method
from mien.v1 import face_service_pb2 as pb
from mien_orchestrator.edge.call_parts import CallParts
from mien_orchestrator.edge.http.body import check_declared, read_image
from mien_orchestrator.edge.http.calls import HttpCalls
from mien_orchestrator.edge.http.documentation import documentation
from mien_orchestrator.edge.http.guard import STREAM_PATH, Guard
from mien_orchestrator.edge.http.inference import inference_error, inference_routes
from mien_orchestrator.edge.http.openapi import openapi
from mien_orchestrator.edge.http.pages import fixed, page_routes
from mien_orchestrator.edge.http.parameters import analyze_options
from mien_orchestrator.edge.http.replies import HttpRequestError, JsonReply, encoded, error_reply
from mien_orchestrator.edge.http.stream import StreamEndpoint
from mien_orchestrator.edge.open_inference.models import InferenceModels
from mien_orchestrator.edge.status import unexpected
from mien_orchestrator.pipeline import request_context
from mien_orchestrator.settings import Settings
from mien_orchestrator.telemetry.metrics import Metrics

_JSON_OVERHEAD = 64 * 1024
"""Allowance for the other fields of an inference request beside an image, in bytes; as for gRPC."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Dependencies of the application."""

    calls: CallParts
    settings: Settings
    serves: Callable[[str], bool | None]
    """Returns whether the server (empty name) or a task is ready; None for an unknown task."""
    metrics: Metrics | None
    models: InferenceModels | None
    """The models of the Open Inference Protocol; None if it is switched off."""


class Endpoints:
    """The functions behind the routes."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.calls = HttpCalls(parts.calls)

    async def analyze(self, request: Request) -> Response:
        """Analyze the image in the body."""
        return await self.calls.answer(request, ANALYZE, self._analyze_request)

    async def _analyze_request(self, request: Request) -> Message:
        max_bytes = self._parts.settings.limits.max_image_bytes
        message = analyze_options(request.query_params.multi_items())
        check_declared(request.headers, max_bytes)
        message.image = await read_image(request.receive, request.headers, max_bytes)
        return message

    async def models(self, request: Request) -> Response:
        """List the models."""
        return await self._plain(request, LIST_MODELS, pb.ListModelsRequest())

    async def model(self, request: Request) -> Response:
        """Return a model and its card."""
        return await self._plain(request, GET_MODEL_CARD, pb.GetModelCardRequest(name=request.path_params["name"]))

    async def server(self, request: Request) -> Response:
        """Return the server's description."""
        return await self._plain(request, GET_SERVER_INFO, pb.GetServerInfoRequest())

    async def _plain(self, request: Request, method: Method[Any, Any], message: Message) -> Response:
        async def read(request: Request) -> Message:
            return message

        return await self.calls.answer(request, method, read)

    async def live(self, request: Request) -> Response:
        """Return 200 while the process answers."""
        return JsonReply({"status": "ALIVE"})

    async def ready(self, request: Request) -> Response:
        """Return 200 if the server, or the task of the parameter `service`, is ready, otherwise 503."""
        service = request.query_params.get("service", "")
        serves = self._parts.serves(service)
        if serves is None:
            return error_reply(NotFoundError(f"unknown service {service[:80]!r}", reason="SERVICE_UNKNOWN"))
        if not serves:
            return error_reply(ServerUnavailableError("the server is not ready; try again later", reason="NOT_SERVING"))
        return JsonReply({"status": "SERVING"})

    async def metrics(self, request: Request) -> Response:
        """Return the metrics in Prometheus' text format; requires a token like every call."""
        context = request_context.begin("/metrics", request.headers.items())
        try:
            await self._parts.calls.authentication.check(context)
        except MienError as error:
            return error_reply(error)
        assert self._parts.metrics, "a server with HTTP has metrics"
        text, kind = self._parts.metrics.text()
        return Response(text, media_type=kind)


def make_application(parts: Parts) -> ASGIApp:
    """Return the ASGI application."""
    endpoints = Endpoints(parts)
    description = openapi(parts.settings.limits.max_image_bytes)
    app = Starlette(
        routes=[
            Route("/v1/analyze", endpoints.analyze, methods=["POST"]),
            Route("/v1/models", endpoints.models),
            Route("/v1/models/{name}", endpoints.model),
            Route("/v1/server", endpoints.server),
            WebSocketRoute(STREAM_PATH, StreamEndpoint(parts.calls)),
            Route("/healthz", endpoints.live),
            Route("/readyz", endpoints.ready),
            Route("/metrics", endpoints.metrics),
            Route("/openapi.json", fixed(encoded(description), "application/json")),
            *documentation(description),
            *page_routes(parts.settings),
            *(inference_routes(endpoints.calls, parts.models, _inference_bytes(parts)) if parts.models else ()),
        ],
        exception_handlers={HTTPException: _http_error, Exception: _failure},
    )
    app.router.redirect_slashes = False  # a redirect has an empty body, and some clients drop the request's body
    return Guard(app, parts.settings, parts.metrics.count_http if parts.metrics else _not_counted)


def _inference_bytes(parts: Parts) -> int:
    return parts.settings.limits.max_image_bytes + _JSON_OVERHEAD


def _not_counted(route: str, status: int) -> None:
    """Count nothing."""


async def _http_error(request: Request, error: Exception) -> Response:
    """Return 404 and 405 of the router as a `google.rpc.Status`."""
    assert isinstance(error, HTTPException)
    headers: Mapping[str, str] = error.headers or {}
    allow = headers.get("Allow", headers.get("allow", ""))
    path = request.url.path[:80]
    refuse = inference_error if path == "/v2" or path.startswith("/v2/") else error_reply
    if error.status_code == 405:
        return refuse(
            HttpRequestError(
                f"{path} does not accept {request.method[:16]}; use {allow}",
                reason="METHOD_NOT_ALLOWED",
                http_status=405,
                code=code_pb2.UNIMPLEMENTED,
                allow=allow,
            )
        )
    if path == STREAM_PATH:
        return error_reply(
            HttpRequestError(
                f"{path} is a WebSocket; connect to it with a WebSocket client",
                reason="WEBSOCKET_REQUIRED",
                http_status=426,
                code=code_pb2.FAILED_PRECONDITION,
                upgrade="websocket",
                connection="upgrade",
            )
        )
    advice = "remove the slash at its end" if path.endswith("/") else "see /docs"
    return refuse(NotFoundError(f"unknown path {path!r}; {advice}", reason="PATH_UNKNOWN"))


async def _failure(request: Request, error: Exception) -> Response:
    return error_reply(unexpected(request.url.path[:80]))
