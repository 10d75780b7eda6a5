"""Follows every call from its arrival to its end, for whoever observes: the log, metrics, traces."""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import grpc

from mien.v1 import face_service_pb2 as pb
from mien_orchestrator import request_context
from mien_orchestrator.telemetry.observer import End, Observer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")

_AT_DEADLINE = 0.05
"""Seconds before its deadline from which a call that ends unanswered is taken for late, not for cancelled."""


class ObserveInterceptor(grpc.aio.ServerInterceptor):
    """Belongs in front of all other interceptors, so that it sees what they refuse."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]",
        details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Begin a call, and wrap its handler."""
        made = request_context.begin(details.method, details.invocation_metadata)
        handler = await continuation(details)
        if handler is None:
            return None
        kind = next(kind for kind in _KINDS if getattr(handler, kind))
        wrapped = self._wrap(getattr(handler, kind), made)
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        return make(wrapped, handler.request_deserializer, handler.response_serializer)  # type: ignore[no-any-return]

    def _wrap(self, inner: Callable[[Any, Context], Any], made: request_context.Call) -> Callable[[Any, Context], Any]:
        async def answer(request: Any, context: Context) -> Any:
            with self._observed(made, context) as end:
                reply = await inner(request, context)
                end.reply = reply if isinstance(reply, pb.AnalyzeResponse) else None
                return reply

        async def answers(request: Any, context: Context) -> AsyncIterator[Any]:
            with self._observed(made, context):
                async for reply in inner(request, context):
                    yield reply

        return answers if inspect.isasyncgenfunction(inner) else answer

    @contextmanager
    def _observed(self, made: request_context.Call, context: Context) -> Iterator[End]:
        started, end = time.perf_counter(), End()
        context.set_trailing_metadata(((request_context.REQUEST_ID, made.request_id),))
        for observer in self._observers:
            observer.began(made)
        try:
            yield end
            end.code = grpc.StatusCode.OK
        except asyncio.CancelledError:
            left = context.time_remaining()
            late = left is not None and left < _AT_DEADLINE
            end.code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
            raise
        except Exception:
            end.code = context.code() or end.code
            raise
        finally:
            end.seconds = time.perf_counter() - started
            for observer in self._observers:
                observer.ended(made, end)
