"""Answer one call over HTTP by the same steps as gRPC: context, observers, token, upload, service, status."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from mien.errors import CallCancelledError, DeadlineExceededError, MienError
from mien.transport.methods import Method
from mien.v1 import face_service_pb2 as pb
from mien_orchestrator.edge.call_parts import CallParts
from mien_orchestrator.edge.http.parameters import timeout_of
from mien_orchestrator.edge.http.replies import error_reply, reply
from mien_orchestrator.edge.observation import observed
from mien_orchestrator.edge.status import note_reason, unexpected
from mien_orchestrator.pipeline import request_context
from mien_orchestrator.pipeline.request_context import RequestContext

Read = Callable[[Request], Awaitable[Message]]
"""Reads the message of a call from an HTTP request; raises `MienError`."""

Write = Callable[[Message], Response]
"""Makes the HTTP response of a reply."""

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class HttpCalls:
    """Answers calls over HTTP."""

    def __init__(self, parts: CallParts) -> None:
        self._parts = parts

    async def answer(self, request: Request, method: Method[Any, Any], read: Read, write: Write = reply) -> Response:
        """Answer a call; a failure becomes a `google.rpc.Status`."""
        context = request_context.begin(method.path, request.headers.items())
        context.protocol = "http"
        try:
            with observed(context, self._parts.observers, lambda: None, _code_of) as end:
                message = await self._reply(request, read, context)
                end.reply = message if isinstance(message, pb.AnalyzeResponse) else None
                return write(message)
        except MienError as error:
            return error_reply(error)

    async def _reply(self, request: Request, read: Read, context: RequestContext) -> Message:
        """Return the reply before the deadline; raises only `MienError`."""
        try:
            context.limit(timeout_of(request.headers))
            self._parts.authentication.check(context)
            return await self._in_time(request, read, context)
        except MienError as error:
            note_reason(error)
            raise
        except Exception as error:
            failure = unexpected(context.method)
            note_reason(failure)
            raise failure from error

    async def _in_time(self, request: Request, read: Read, context: RequestContext) -> Message:
        uploaded = False
        try:
            async with asyncio.timeout_at(context.deadline):
                message = (
                    await self._parts.uploads.read(lambda: read(request)) if _has_body(request) else await read(request)
                )
                uploaded = True
                return await _until_left(self._parts.call(message, context), request.receive)
        except TimeoutError as error:
            late = "no reply was ready" if uploaded else "the upload was not complete"
            raise DeadlineExceededError(
                f"{late} before the deadline; send a smaller image or raise the timeout"
            ) from error


def _has_body(request: Request) -> bool:
    return request.method == "POST"


async def _until_left(call: Awaitable[Message], receive: Receive) -> Message:
    """Return the call's reply; cancel the call once its client has left."""
    work, left = asyncio.ensure_future(call), asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait([work, left], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise CallCancelledError("the client left before the reply")
    finally:
        left.cancel()
        if not work.done():
            work.cancel()
            await asyncio.wait([work])


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _code_of(error: Exception) -> grpc.StatusCode:
    return _CODES[error.code] if isinstance(error, MienError) else grpc.StatusCode.INTERNAL
