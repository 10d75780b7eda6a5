"""Engines that call a server over a gRPC channel."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable
from typing import Any

import grpc

from mien.errors import MienError, closed, forked
from mien.transport.base import REQUEST_ID, Metadata, Reply
from mien.transport.channel import open_async_channel, open_channel
from mien.transport.connection import Connection
from mien.transport.grpc_errors import advised_wait, is_refused_stream, is_retryable, reached_server, read_error
from mien.transport.methods import METHODS, STREAMS, Method, Request, Response, StreamMethod
from mien.transport.retries import WINDOW, Retries, RetryBudget
from mien.transport.sources import AsyncSource, Source


class _Remote:
    """The common part of both engines: connection, state, and handling of failures."""

    def __init__(self, connection: Connection) -> None:
        connection.check()
        self._connection = connection
        self._budget = RetryBudget()
        self._reached = False
        self._closed = False
        self._process = os.getpid()

    def _check(self) -> None:
        if self._closed:
            raise closed()
        if os.getpid() != self._process:
            raise forked()

    def _succeeded(self) -> None:
        self._reached = True
        self._budget.succeeded()

    def _sent(self, metadata: Metadata) -> tuple[tuple[str, str], ...]:
        return tuple((self._connection.credentials | dict(metadata)).items())

    def _wait(self, error: grpc.RpcError, retries: Retries, metadata: Metadata) -> float:
        """Return the seconds until the next attempt; raises the `MienError` of an error that is not retried."""
        if self._closed:
            raise closed() from error
        advised = advised_wait(error)
        reached = reached_server(error)
        self._reached |= reached
        window = WINDOW if self._reached else self._connection.connect_timeout
        if is_refused_stream(error):  # the server works: other calls of this connection are in flight
            window = retries.timeout
        wait = retries.next_wait(advised, window) if is_retryable(error) else None
        within_budget = advised is not None or not reached or self._budget.failed()
        if wait is None or not within_budget:
            raise read_error(error, self._connection, metadata[REQUEST_ID]) from error
        return wait


class RemoteEngine(_Remote):
    """Calls a server. Thread-safe."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._channel = open_channel(connection)
        self._methods = {
            method.name: self._channel.unary_unary(
                method.path, method.request.SerializeToString, method.response.FromString
            )
            for method in METHODS
        }
        self._streams = {
            method.name: self._channel.stream_stream(
                method.path, method.request.SerializeToString, method.response.FromString
            )
            for method in STREAMS
        }

    def call(
        self, method: Method[Request, Response], request: Request, timeout: float, metadata: Metadata
    ) -> Reply[Response]:
        """Send one request; see `Engine.call`."""
        retries = Retries(timeout)
        while True:
            self._check()
            try:
                message, call = self._methods[method.name].with_call(
                    request, timeout=retries.left, metadata=self._sent(metadata)
                )
            except grpc.RpcError as error:
                time.sleep(self._wait(error, retries, metadata))
            except ValueError as error:  # gRPC's own: the channel was closed by another thread
                raise closed() from error
            else:
                self._succeeded()
                return Reply(message, _request_id(call.trailing_metadata()) or metadata[REQUEST_ID])

    def stream(
        self, method: StreamMethod[Request, Response], requests: Iterable[Request], metadata: Metadata
    ) -> Generator[Response]:
        """Send the requests of a stream; see `Engine.stream`."""
        self._check()
        source = Source(requests)
        try:
            call = self._streams[method.name](source.requests(), metadata=self._sent(metadata))
        except ValueError as error:  # gRPC's own: the channel was closed
            raise closed() from error
        source.failed = call.cancel
        try:
            yield from call
        except grpc.RpcError as error:
            source.check()
            if self._closed:
                raise closed() from error
            raise read_error(error, self._connection, metadata[REQUEST_ID]) from error
        finally:
            call.cancel()
        source.check()

    def close(self) -> None:
        """Close the channel."""
        self._closed = True
        if os.getpid() == self._process:
            self._channel.close()


class AsyncRemoteEngine(_Remote):
    """The asyncio version of `RemoteEngine`; the first call opens the channel on its event loop."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._channel: grpc.aio.Channel | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._methods: dict[str, grpc.aio.UnaryUnaryMultiCallable[Any, Any]] = {}

    async def call(
        self, method: Method[Request, Response], request: Request, timeout: float, metadata: Metadata
    ) -> Reply[Response]:
        """Send one request; see `Engine.call`."""
        retries = Retries(timeout)
        self._open()
        while True:
            self._check()
            call = self._methods[method.name](request, timeout=retries.left, metadata=self._sent(metadata))
            try:
                message = await call
                received = await call.trailing_metadata()
            except grpc.RpcError as error:
                await asyncio.sleep(self._wait(error, retries, metadata))
            except grpc.aio.UsageError as error:  # the channel was closed by another task
                raise closed() from error
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if self._closed and task and not task.cancelling():  # by the channel's end, not by the caller
                    raise closed() from error
                raise
            else:
                self._succeeded()
                return Reply(message, _request_id(received) or metadata[REQUEST_ID])

    async def stream(
        self, method: StreamMethod[Request, Response], requests: AsyncIterable[Request], metadata: Metadata
    ) -> AsyncGenerator[Response]:
        """Send the requests of a stream; see `Engine.stream`."""
        channel = self._open()
        open_stream = channel.stream_stream(method.path, method.request.SerializeToString, method.response.FromString)
        source = AsyncSource(requests)
        call = open_stream(source.requests(), metadata=self._sent(metadata))
        source.failed = call.cancel
        try:
            async for message in call:
                yield message
        except grpc.RpcError as error:
            source.check()
            raise read_error(error, self._connection, metadata[REQUEST_ID]) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task and not task.cancelling():  # by the end of the call, not by the caller
                source.check()
                raise closed() from error
            raise
        finally:
            call.cancel()
        source.check()

    async def close(self) -> None:
        """Close the channel."""
        self._closed = True
        if self._channel and os.getpid() == self._process:
            if asyncio.get_running_loop() is not self._loop:
                raise _other_loop()
            await self._channel.close()

    def _open(self) -> grpc.aio.Channel:
        self._check()
        if self._channel is None:
            self._channel = open_async_channel(self._connection)
            self._loop = asyncio.get_running_loop()
            self._methods = {
                method.name: self._channel.unary_unary(
                    method.path, method.request.SerializeToString, method.response.FromString
                )
                for method in METHODS
            }
        elif asyncio.get_running_loop() is not self._loop:
            raise _other_loop()
        return self._channel


def _other_loop() -> MienError:
    return MienError(
        "this client is bound to the event loop of its first call; create an AsyncClient for each event loop",
        reason="OTHER_EVENT_LOOP",
    )


def _request_id(metadata: object) -> str:
    """Return the request id from trailing metadata, or an empty string."""
    for key, value in metadata or ():  # type: ignore[attr-defined]
        if key == REQUEST_ID and isinstance(value, str):
            return value
    return ""
