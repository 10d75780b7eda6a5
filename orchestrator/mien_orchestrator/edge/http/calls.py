"""Answer one call over HTTP by the same steps as gRPC: context, observers, token, upload, service, status."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

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
from mien_orchestrator.edge.status import forget_frames, note_reason, unexpected
from mien_orchestrator.pipeline import request_context
from mien_orchestrator.pipeline.request_context import RequestContext
from mien_orchestrator.telemetry.observer import End

Given = TypeVar("Given")

Read: TypeAlias = Callable[[Request], Awaitable[Given]]
"""Reads the input of a call from an HTTP request; raises `MienError`."""

Work: TypeAlias = Callable[[Given, RequestContext, End], Awaitable[Response]]
"""Answers a call; raises `MienError`."""

Refuse: TypeAlias = Callable[[MienError], Response]
"""Makes the response of an error."""

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class HttpCalls:
    """Answers calls over HTTP."""

    def __init__(self, parts: CallParts) -> None:
        self._parts = parts

    async def answer(self, request: Request, method: Method[Any, Any], read: Read[Message]) -> Response:
        """Answer a call of `FaceAnalysisService`; a failure becomes a `google.rpc.Status`."""

        async def work(message: Message, context: RequestContext, end: End) -> Response:
            made = await self._parts.call(message, context)
            end.reply = made if isinstance(made, pb.AnalyzeResponse) else None
            return reply(made)

        return await self.run(request, method.path, read, work, error_reply)

    async def run(
        self, request: Request, method: str, read: Read[Given], work: Work[Given], refuse: Refuse
    ) -> Response:
        """Answer a call.

        Args:
            request: The HTTP request.
            method: Full name of the equivalent gRPC method.
            read: Reads the input of the call.
            work: Answers it.
            refuse: Makes the response of an error.

        """
        context = request_context.begin(method, request.headers.items())
        context.protocol = "http"
        try:
            with observed(context, self._parts.observers, lambda: None, _code_of) as end:
                return await self._reply(request, read, lambda given: work(given, context, end), context)
        except MienError as error:
            forget_frames(error)
            return refuse(error)

    async def _reply(
        self,
        request: Request,
        read: Read[Given],
        work: Callable[[Given], Awaitable[Response]],
        context: RequestContext,
    ) -> Response:
        """Return the response before the deadline; raises only `MienError`."""
        try:
            context.limit(timeout_of(request.headers))
            await self._parts.authentication.check(context)
            self._parts.check_load(context)
            return await self._in_time(request, read, work, context.deadline)
        except MienError as error:
            note_reason(error)
            raise
        except Exception as error:
            failure = unexpected(context.method)
            note_reason(failure)
            raise failure from error

    async def _in_time(
        self, request: Request, read: Read[Given], work: Callable[[Given], Awaitable[Response]], deadline: float
    ) -> Response:
        uploaded = False
        try:
            async with asyncio.timeout_at(deadline):
                has_body = request.method == "POST"
                given = await (self._parts.uploads.read(lambda: read(request)) if has_body else read(request))
                uploaded = True
                return await _until_left(work(given), request.receive)
        except TimeoutError as error:
            late = "no reply was ready" if uploaded else "the upload was not complete"
            raise DeadlineExceededError(
                f"{late} before the deadline; send a smaller image or raise the timeout"
            ) from error


async def _until_left(call: Awaitable[Response], receive: Receive) -> Response:
    """Return the call's response; cancel the call once its client has left."""
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
