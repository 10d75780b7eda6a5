"""The gRPC handlers of `FaceAnalysisService`, built from the same table of methods as the SDK's calls."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import Message

from mien.errors import DeadlineExceededError
from mien.transport.methods import METHODS, SERVICE, STREAMS
from mien_orchestrator.edge.interceptors import Rpc
from mien_orchestrator.pipeline import request_context
from mien_orchestrator.pipeline.request_context import RequestContext

Call: TypeAlias = Callable[[Message, RequestContext], Awaitable[Message]]
"""Answers a request of any RPC, recognized by its type."""

Stream: TypeAlias = Callable[[AsyncIterator[Any], RequestContext], AsyncGenerator[Message]]
"""Answers the requests of a bidirectional stream."""

_STALLED_SECONDS = 60.0
"""Time within which a caller must read a reply of its stream, in seconds."""


def add_handlers(call: Call, stream: Stream, server: grpc.aio.Server) -> None:
    """Register a handler for every RPC; use it before the server starts."""

    async def answer(request: Message, rpc: Rpc) -> Message:
        current = request_context.current()
        assert current, "ObserveInterceptor creates a context for every call"
        return await call(request, current)

    async def follow(requests: AsyncIterator[Message], rpc: Rpc) -> None:
        current = request_context.current()
        assert current, "ObserveInterceptor creates a context for every call"
        async with aclosing(stream(requests, current)) as replies:
            async for reply in replies:
                try:
                    async with asyncio.timeout(_STALLED_SECONDS):
                        await rpc.write(reply)
                except TimeoutError as error:
                    raise DeadlineExceededError(
                        f"the stream's replies were not read for {_STALLED_SECONDS:g} s", reason="STREAM_STALLED"
                    ) from error

    handlers = {
        method.name: grpc.unary_unary_rpc_method_handler(
            answer,
            method.request.FromString,
            method.response.SerializeToString,
        )
        for method in METHODS
    } | {
        method.name: grpc.stream_stream_rpc_method_handler(
            follow,
            method.request.FromString,
            method.response.SerializeToString,
        )
        for method in STREAMS
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
