"""`AnalyzeStream` over a WebSocket: image files in, replies as JSON out.

Each binary message is one frame, an empty one ends the stream; the server then sends the last replies and closes. The
configuration is in the query, the token in the header or, for browsers, in the subprotocol.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing

import grpc
from google.protobuf.message import Message
from google.rpc import code_pb2
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from mien.errors import CallCancelledError, DeadlineExceededError, InvalidRequestError, MienError
from mien.transport.methods import ANALYZE_STREAM
from mien.types.proto_json import as_dict
from mien.v1 import face_service_pb2 as pb
from mien_orchestrator.edge.call_parts import CallParts
from mien_orchestrator.edge.http.parameters import analyze_options
from mien_orchestrator.edge.http.replies import encoded, error_reply
from mien_orchestrator.edge.observation import observed
from mien_orchestrator.edge.status import note_reason, rich_status, unexpected
from mien_orchestrator.pipeline import request_context
from mien_orchestrator.pipeline.request_context import RequestContext

STALLED_SECONDS = 60.0
"""Time for which a caller may leave a reply unread."""

SUBPROTOCOL = "mien.v1"
_BEARER = "bearer."

_NORMAL, _UNSUPPORTED, _POLICY, _FAILED, _TRY_LATER = 1000, 1003, 1008, 1011, 1013
_CLOSE_CODES = {
    code_pb2.INVALID_ARGUMENT: _POLICY,
    code_pb2.RESOURCE_EXHAUSTED: _TRY_LATER,
    code_pb2.UNAVAILABLE: _TRY_LATER,
    code_pb2.DEADLINE_EXCEEDED: _POLICY,
}
"""Close code (RFC 6455) of each `google.rpc.Code`; 1011 for the others."""

_LONGEST_REASON = 120
"""Bytes of the reason in a close frame, of 123 that are allowed."""

_NUMBER = re.compile(r"\d{1,9}(\.\d{1,6})?", re.ASCII)
_WHOLE = re.compile(r"\d{1,9}", re.ASCII)
_DROP = {"none": pb.DROP_POLICY_NONE, "latest": pb.DROP_POLICY_LATEST}

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class StreamEndpoint:
    """An ASGI application that answers WebSockets."""

    def __init__(self, parts: CallParts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one WebSocket until either side ends it."""
        websocket = WebSocket(scope, receive, send)
        headers = dict(websocket.headers.items())
        offered = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",") if name.strip()]
        tokens = [name.removeprefix(_BEARER) for name in offered if name.startswith(_BEARER)]
        if tokens and "authorization" not in headers:
            headers["authorization"] = f"Bearer {tokens[0]}"
        context = request_context.begin(ANALYZE_STREAM.path, headers.items())
        context.protocol = "http"
        accepted = False
        try:
            with observed(context, self._parts.observers, lambda: None, _code_of):
                try:
                    self._parts.authentication.check(context)
                    config, interval_ms = stream_options(websocket.query_params.multi_items())
                    chosen = SUBPROTOCOL if SUBPROTOCOL in offered else None
                    await websocket.accept(chosen, [(b"x-request-id", context.request_id.encode())])
                    accepted = True
                    await self._follow(websocket, _requests(websocket, config, interval_ms), context)
                except MienError as error:
                    note_reason(error)
                    raise
                except WebSocketDisconnect as error:
                    raise CallCancelledError("the client left before the end of its stream") from error
                except Exception as error:
                    failure = unexpected(context.method)
                    note_reason(failure)
                    raise failure from error
        except MienError as error:
            await (_end(websocket, error) if accepted else error_reply(error)(scope, receive, send))

    async def _follow(
        self, websocket: WebSocket, requests: AsyncIterator[pb.AnalyzeStreamRequest], context: RequestContext
    ) -> None:
        async with aclosing(self._parts.stream(requests, context)) as replies:
            async for reply in replies:
                await _send(websocket, reply)
        await websocket.close(_NORMAL)


async def _send(websocket: WebSocket, reply: Message) -> None:
    try:
        async with asyncio.timeout(STALLED_SECONDS):
            await websocket.send_text(encoded(as_dict(reply)).decode())
    except TimeoutError as error:
        raise DeadlineExceededError(
            f"the stream's replies were not read for {STALLED_SECONDS:g} s", reason="STREAM_STALLED"
        ) from error


async def _requests(
    websocket: WebSocket, config: pb.StreamConfig, interval_ms: float | None
) -> AsyncIterator[pb.AnalyzeStreamRequest]:
    """Yield the configuration, then the frames."""
    yield pb.AnalyzeStreamRequest(config=config)
    began, number, last_ms = time.monotonic(), 0, -1.0
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise CallCancelledError("the client left before the end of its stream")
        image = message.get("bytes")
        if image is None:
            raise InvalidRequestError(
                "a message is one frame: the bytes of an image file as a binary message, not text",
                reason="STREAM_MESSAGE_INVALID",
            )
        if not image:
            return
        now_ms = number * interval_ms if interval_ms else max(1e3 * (time.monotonic() - began), last_ms + 1e-3)
        yield pb.AnalyzeStreamRequest(frame=pb.Frame(id=number, timestamp_ms=now_ms, image=image))
        number, last_ms = number + 1, now_ms


async def _end(websocket: WebSocket, error: MienError) -> None:
    """Send an error as the last message, and close."""
    if error.code == code_pb2.CANCELLED:
        return
    code = _UNSUPPORTED if error.reason == "STREAM_MESSAGE_INVALID" else _CLOSE_CODES.get(error.code, _FAILED)
    try:
        async with asyncio.timeout(1):
            await websocket.send_text(encoded({"error": as_dict(rich_status(error))}).decode())
            await websocket.close(code, error.message.encode()[:_LONGEST_REASON].decode(errors="ignore"))
    except (TimeoutError, RuntimeError, WebSocketDisconnect):
        return  # the client does not read, or has left


def stream_options(query: Iterable[tuple[str, str]]) -> tuple[pb.StreamConfig, float | None]:
    """Return the configuration of a stream, and the time between its frames if it is fixed.

    Args:
        query: The parameters: `tasks`, `max_faces`, `smoothing_half_life_ms`, `detection_interval`, `drop_policy`
            (`none` or `latest`), `frame_rate` (frames per second of a recording; otherwise frames have the time of
            their arrival).

    Raises:
        InvalidRequestError: A parameter is unknown, repeated or invalid.

    """
    pairs = list(query)
    request, _ = analyze_options([pair for pair in pairs if pair[0] in ("tasks", "max_faces")])
    config = pb.StreamConfig(tasks=request.tasks)
    if request.HasField("max_faces"):
        config.max_faces = request.max_faces
    others = [pair for pair in pairs if pair[0] not in ("tasks", "max_faces")]
    given = dict(others)
    if len(given) < len(others):
        raise InvalidRequestError("a parameter is given twice", reason="PARAMETER_REPEATED")
    if "smoothing_half_life_ms" in given:
        config.smoothing_half_life_ms = _number(given, "smoothing_half_life_ms")
    if "detection_interval" in given:
        config.detection_interval = _whole(given, "detection_interval")
    if "drop_policy" in given:
        if given["drop_policy"] not in _DROP:
            raise InvalidRequestError(f"drop_policy is one of {', '.join(_DROP)}", reason="PARAMETER_INVALID")
        config.drop_policy = _DROP[given["drop_policy"]]
    rate = _number(given, "frame_rate") if "frame_rate" in given else None
    known = {"smoothing_half_life_ms", "detection_interval", "drop_policy", "frame_rate"}
    if unknown := sorted(given.keys() - known):
        names = ", ".join(["tasks", "max_faces", *sorted(known)])
        raise InvalidRequestError(
            f"unknown parameter {unknown[0][:80]!r}; known are {names}", reason="PARAMETER_UNKNOWN"
        )
    return config, 1e3 / rate if rate else None


def _number(given: Mapping[str, str], name: str) -> float:
    if not _NUMBER.fullmatch(given[name]):
        raise InvalidRequestError(
            f"{name} is a number from 0 with at most 9 digits before the point and 6 behind it, such as 29.97, "
            f"not {given[name][:80]!r}",
            reason="PARAMETER_INVALID",
        )
    return float(given[name])


def _whole(given: Mapping[str, str], name: str) -> int:
    if not _WHOLE.fullmatch(given[name]):
        raise InvalidRequestError(f"{name} is a whole number, not {given[name][:80]!r}", reason="PARAMETER_INVALID")
    return int(given[name])


def _code_of(error: Exception) -> grpc.StatusCode:
    return _CODES[error.code] if isinstance(error, MienError) else grpc.StatusCode.INTERNAL
