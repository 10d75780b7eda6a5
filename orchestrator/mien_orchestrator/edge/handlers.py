"""The gRPC handlers of `FaceAnalysisService`, built from the same table of methods as the SDK's calls."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import grpc
from google.protobuf.message import Message

from mien.transport.methods import METHODS, SERVICE
from mien_orchestrator.edge.interceptors import Rpc
from mien_orchestrator.pipeline import request_context
from mien_orchestrator.pipeline.request_context import RequestContext

Call: TypeAlias = Callable[[Message, RequestContext], Awaitable[Message]]
"""Answers a request of any RPC, recognized by its type."""


def add_handlers(call: Call, server: grpc.aio.Server) -> None:
    """Register a handler for every unary RPC; use it before the server starts."""

    async def answer(request: Message, rpc: Rpc) -> Message:
        current = request_context.current()
        assert current, "ObserveInterceptor creates a context for every call"
        return await call(request, current)

    handlers = {
        method.name: grpc.unary_unary_rpc_method_handler(
            answer,
            method.request.FromString,
            method.response.SerializeToString,
        )
        for method in METHODS
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
