"""Read the request message of unary calls, and convert errors to statuses."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError
from grpc_status import rpc_status

from mien.errors import InvalidRequestError, MienError, UnsupportedError
from mien_orchestrator.edge.interceptors import Handler, Rpc
from mien_orchestrator.edge.status import forget_frames, metadata_of, note_reason, rich_status, unexpected
from mien_orchestrator.edge.uploads import UploadGate
from mien_orchestrator.pipeline import request_context
from mien_orchestrator.pipeline.request_context import RequestContext

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Converts exceptions to statuses; unexpected exceptions are logged and returned as INTERNAL without details.

    Unary requests are read here, through the upload gate, and parsed here, so that parse errors get a status.
    """

    def __init__(self, uploads: UploadGate, check: Callable[[RequestContext], None]) -> None:
        """Create the interceptor.

        Args:
            uploads: Limits the messages that are read at the same time.
            check: Rejects a unary call before its message is read, by raising `MienError`.

        """
        self._uploads = uploads
        self._check = check

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]",
        details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Wrap the handler of a unary call."""
        handler = await continuation(details)
        if handler is None:
            return refuse(UnsupportedError("the server does not implement this method; is it older than the client?"))
        if handler.stream_stream and not inspect.isasyncgenfunction(handler.stream_stream):
            return _guard_stream(handler, details.method)
        if handler.unary_unary is None or handler.request_deserializer is None:
            return handler
        inner, deserialize = handler.unary_unary, handler.request_deserializer

        async def answer(messages: AsyncIterator[bytes], rpc: Rpc) -> Any:
            context = request_context.current()
            assert context, "ObserveInterceptor creates a context for every call"
            self._check(context)
            request = await self._uploads.read(lambda: _receive_one(messages, deserialize))
            return await inner(request, rpc)  # type: ignore[arg-type]  # stubs know the synchronous context only

        async def guarded(messages: AsyncIterator[bytes], rpc: Rpc) -> Any:
            try:
                return await answer(messages, rpc)
            except MienError as error:
                failure = error
            except StopAsyncIteration:
                failure = InvalidRequestError("the call has no request message", reason="MESSAGE_UNDECODABLE")
            except Exception:
                if rpc.done():
                    raise
                failure = unexpected(details.method)
            return await _abort(rpc, failure)

        # The handler of a stream controls when messages are read; on the wire a unary call is the same.
        return grpc.stream_unary_rpc_method_handler(
            guarded, request_deserializer=None, response_serializer=handler.response_serializer
        )


def _guard_stream(handler: "Handler", method: str) -> "Handler":
    """Return the handler of a bidirectional stream with its messages parsed and its errors converted."""
    inner: Any = handler.stream_stream
    deserialize: Any = handler.request_deserializer

    async def parsed(messages: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        while True:
            try:
                yield await _receive(messages, deserialize)
            except StopAsyncIteration:
                return

    async def guarded(messages: AsyncIterator[bytes], rpc: Rpc) -> None:
        try:
            await inner(parsed(messages), rpc)
            return
        except MienError as error:
            failure = error
        except Exception:
            if rpc.done():
                raise
            failure = unexpected(method)
        await _abort(rpc, failure)

    return grpc.stream_stream_rpc_method_handler(
        guarded, request_deserializer=None, response_serializer=handler.response_serializer
    )


async def _abort(rpc: Rpc, error: MienError) -> NoReturn:
    forget_frames(error)
    note_reason(error)
    status = rich_status(error)
    metadata = (*rpc_status.to_status(status).trailing_metadata, *metadata_of(status))
    await rpc.abort(_CODES[error.code], error.message, metadata)


def refuse(error: MienError) -> "Handler":
    """Return a handler that fails any call, unary or streaming, with an error, before a message is read."""

    async def refused(requests: Any, rpc: Rpc) -> None:
        await _abort(rpc, error)

    return grpc.stream_stream_rpc_method_handler(refused)


async def _receive_one(messages: AsyncIterator[bytes], deserialize: Callable[[bytes], Any]) -> Any:
    """Return the only request of a call; gRPC's iterator is closed, since it keeps the bytes of the last message."""
    received: Any = aiter(messages)
    async with aclosing(received):
        return await _receive(received, deserialize)


async def _receive(messages: AsyncIterator[bytes], deserialize: Callable[[bytes], Any]) -> Any:
    """Return the next parsed request without keeping its bytes."""
    try:
        return deserialize(await anext(messages))
    except DecodeError as error:
        raise InvalidRequestError(
            "the request is not a valid message for this method", reason="MESSAGE_UNDECODABLE"
        ) from error
