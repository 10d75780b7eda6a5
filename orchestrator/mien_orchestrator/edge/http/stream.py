"""Serve `AnalyzeStream` over a WebSocket: image files in, replies as JSON out.

Each binary message is one frame, an empty one ends the stream; the server then sends the last replies and closes. The
configuration is in the query, the token in the header or, for browsers, in the subprotocol.
"""

import asyncio
import time
from collections.abc import AsyncIterator
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
from mien_orchestrator.edge.http.parameters import stream_options
from mien_orchestrator.edge.http.replies import encoded, error_reply
from mien_orchestrator.edge.observation import observed
from mien_orchestrator.edge.status import note_reason, rich_status, unexpected
from mien_orchestrator.pipeline import request_context
from mien_orchestrator.pipeline.request_context import RequestContext

STALLED_SECONDS = 60.0
"""Maximum time for which a client may leave a reply unread."""

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
"""Maximum length of the reason in a close frame, in bytes; RFC 6455 allows 123."""

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
                    await self._parts.authentication.check(context)
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
                "a message must be one frame, the bytes of an image file as a binary message, not text",
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


def _code_of(error: Exception) -> grpc.StatusCode:
    return _CODES[error.code] if isinstance(error, MienError) else grpc.StatusCode.INTERNAL
