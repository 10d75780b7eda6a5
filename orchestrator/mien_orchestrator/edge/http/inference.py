"""The HTTP endpoints of the Open Inference Protocol, under `/v2`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from google.rpc import code_pb2
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mien.errors import MienError
from mien.types.proto_json import as_dict
from mien.version import __version__
from mien_orchestrator.edge.http.body import Kind, check_length, read_body
from mien_orchestrator.edge.http.calls import HttpCalls
from mien_orchestrator.edge.http.replies import JsonReply, error_reply
from mien_orchestrator.edge.open_inference.json_form import JSON_LENGTH, metadata, parse, write
from mien_orchestrator.edge.open_inference.messages import SERVICE
from mien_orchestrator.edge.open_inference.models import InferenceModels
from mien_orchestrator.edge.status import rich_status
from mien_orchestrator.pipeline.request_context import RequestContext
from mien_orchestrator.telemetry.observer import End

_SMALL = 64 * 1024
"""Maximum size of a body that is parsed on the event loop, in bytes."""

_REQUEST = Kind(
    "inference request",
    "send a JSON object with the list inputs, as the Open Inference Protocol defines it",
    "INFERENCE_REQUEST",
)

Work = Callable[[bytes, RequestContext], Awaitable[Response]]
"""Answers a call; gets its body, which may be empty."""


def inference_routes(calls: HttpCalls, models: InferenceModels, max_bytes: int) -> list[Route]:
    """Return the routes; a request has at most `max_bytes`."""
    endpoints = _Endpoints(calls, models, max_bytes)
    routes = [
        Route("/v2/health/live", endpoints.live),
        Route("/v2/health/ready", endpoints.ready),
        Route("/v2", endpoints.server),
    ]
    for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        routes += [
            Route(path, endpoints.model),
            Route(f"{path}/ready", endpoints.model_ready),
            Route(f"{path}/infer", endpoints.infer, methods=["POST"]),
        ]
    return routes


class _Endpoints:
    def __init__(self, calls: HttpCalls, models: InferenceModels, max_bytes: int) -> None:
        self._calls = calls
        self._models = models
        self._max_bytes = max_bytes

    async def live(self, request: Request) -> Response:
        return JsonReply({"live": self._models.live()})

    async def ready(self, request: Request) -> Response:
        ready = self._models.ready()
        return JsonReply({"ready": ready}, 200 if ready else 503)

    async def server(self, request: Request) -> Response:
        async def work(body: bytes, context: RequestContext) -> Response:
            return JsonReply({"name": "mien", "version": __version__, "extensions": ["binary_tensor_data"]})

        return await self._answer(request, "ServerMetadata", work)

    async def model(self, request: Request) -> Response:
        async def work(body: bytes, context: RequestContext) -> Response:
            return JsonReply(metadata(self._models.describe(*_name(request))))

        return await self._answer(request, "ModelMetadata", work)

    async def model_ready(self, request: Request) -> Response:
        async def work(body: bytes, context: RequestContext) -> Response:
            ready = self._models.model_ready(*_name(request))
            return JsonReply({"name": request.path_params["name"], "ready": ready}, 200 if ready else 503)

        return await self._answer(request, "ModelReady", work)

    async def infer(self, request: Request) -> Response:
        async def work(body: bytes, context: RequestContext) -> Response:
            model = self._models.describe(*_name(request))
            length = request.headers.get(JSON_LENGTH)
            if length is None and len(body) > _SMALL:
                parsed = await asyncio.to_thread(parse, body, length, model)
            else:
                parsed = parse(body, length, model)
            outputs = await self._models.infer(model, parsed.inputs, parsed.wanted, context)
            content, json_length = write(parsed, model, outputs)
            headers = {JSON_LENGTH: str(json_length)} if json_length is not None else {}
            kind = "application/json" if json_length is None else "application/octet-stream"
            return Response(content, media_type=kind, headers=headers)

        return await self._answer(request, "ModelInfer", work)

    async def _answer(self, request: Request, method: str, work: Work) -> Response:
        async def read(request: Request) -> bytes:
            if request.method != "POST":
                return b""
            check_length(request.headers, self._max_bytes, _REQUEST)
            return await read_body(request.receive, self._max_bytes, _REQUEST)

        async def answer(body: bytes, context: RequestContext, end: End) -> Response:
            return await work(body, context)

        return await self._calls.run(request, f"/{SERVICE}/{method}", read, answer, inference_error)


def _name(request: Request) -> tuple[str, str]:
    parameters: Mapping[str, str] = request.path_params
    return parameters["name"], parameters.get("version", "")


def inference_error(error: MienError) -> Response:
    """Return an error with the field `error` of the protocol beside those of `google.rpc.Status`."""
    plain = error_reply(error)
    kept = {name: value for name, value in plain.headers.items() if name not in ("content-length", "content-type")}
    status = as_dict(rich_status(error))
    code = code_pb2.Code.Name(error.code)
    return JsonReply({"error": f"{code}: {error.message}", **status}, plain.status_code, kept)
