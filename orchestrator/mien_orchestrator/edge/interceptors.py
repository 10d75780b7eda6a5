"""Create a request context for every call, and report its start and end to the observers: log, metrics, traces."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import grpc

from mien.v1 import face_service_pb2 as pb
from mien_orchestrator.edge.observation import observed
from mien_orchestrator.pipeline import request_context
from mien_orchestrator.pipeline.request_context import RequestContext
from mien_orchestrator.telemetry.observer import End, Observer

Rpc: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


class ObserveInterceptor(grpc.aio.ServerInterceptor):
    """Must be the first interceptor, so that it also observes calls that the others reject."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]",
        details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Create the call's context and wrap its handler."""
        context = request_context.begin(details.method, details.invocation_metadata)
        handler = await continuation(details)
        if handler is None:
            return None
        kind = next(kind for kind in _KINDS if getattr(handler, kind))
        wrapped = self._wrap(getattr(handler, kind), context)
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        return make(wrapped, handler.request_deserializer, handler.response_serializer)  # type: ignore[no-any-return]

    def _wrap(self, inner: Callable[[Any, Rpc], Any], context: RequestContext) -> Callable[[Any, Rpc], Any]:
        async def unary(request: Any, rpc: Rpc) -> Any:
            with self._observed(context, rpc) as end:
                reply = await inner(request, rpc)
                end.reply = reply if isinstance(reply, pb.AnalyzeResponse) else None
                return reply

        async def stream(request: Any, rpc: Rpc) -> AsyncIterator[Any]:
            with self._observed(context, rpc):
                async for reply in inner(request, rpc):
                    yield reply

        return stream if inspect.isasyncgenfunction(inner) else unary

    def _observed(self, context: RequestContext, rpc: Rpc) -> AbstractContextManager[End]:
        context.limit(rpc.time_remaining())
        rpc.set_trailing_metadata(((request_context.REQUEST_ID, context.request_id),))
        return observed(context, self._observers, rpc.time_remaining, lambda error: rpc.code())
