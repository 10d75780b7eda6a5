"""What is told of every call, whatever it is: its request id to the caller, a line to the log."""

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import grpc

from mien_orchestrator import call

_LOG = logging.getLogger(__name__)

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")

_OUR_FAULT = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS)

_AT_DEADLINE = 0.05
"""Seconds before its deadline from which a call that ends unanswered is taken for late, not for cancelled."""


class ObserveInterceptor(grpc.aio.ServerInterceptor):
    """Follows each call from its arrival to its end; belongs in front of all other interceptors."""

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]",
        details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Begin a call, and wrap its handler."""
        made = call.begin(details.method, details.invocation_metadata)
        handler = await continuation(details)
        if handler is None:
            return None
        kind = next(kind for kind in _KINDS if getattr(handler, kind))
        wrapped = self._wrap(getattr(handler, kind), made)
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        return make(wrapped, handler.request_deserializer, handler.response_serializer)  # type: ignore[no-any-return]

    def _wrap(self, inner: Callable[[Any, Context], Any], made: call.Call) -> Callable[[Any, Context], Any]:
        async def answer(request: Any, context: Context) -> Any:
            with self._observed(made, context):
                return await inner(request, context)

        async def answers(request: Any, context: Context) -> AsyncIterator[Any]:
            with self._observed(made, context):
                async for reply in inner(request, context):
                    yield reply

        return answers if inspect.isasyncgenfunction(inner) else answer

    @contextmanager
    def _observed(self, made: call.Call, context: Context) -> Iterator[None]:
        started = time.perf_counter()
        context.set_trailing_metadata(((call.REQUEST_ID, made.request_id),))
        code = grpc.StatusCode.UNKNOWN
        try:
            yield
            code = grpc.StatusCode.OK
        except asyncio.CancelledError:
            left = context.time_remaining()
            late = left is not None and left < _AT_DEADLINE
            code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
            raise
        except Exception:
            code = context.code() or code
            raise
        finally:
            _log(made, code, time.perf_counter() - started)


def _log(made: call.Call, code: grpc.StatusCode, seconds: float) -> None:
    if made.method.startswith("/grpc."):  # probes, reflection
        level = logging.DEBUG
    else:
        level = logging.WARNING if code in _OUR_FAULT else logging.INFO
    if _LOG.isEnabledFor(level):
        fields = {"method": made.method, "code": code.name, "elapsed_ms": round(seconds * 1e3, 3)}
        _LOG.log(level, "%s %s in %.1f ms", made.method, code.name, seconds * 1e3, extra={"fields": fields})
