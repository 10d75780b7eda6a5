"""The engine of local mode: the service in this process, on an event loop in a separate thread.

The only module of the SDK that imports the service, in `_start`, which that thread runs: neither the import nor the
loading of models blocks a caller's event loop.
"""

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Generator, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from mien.errors import EmbeddedUnavailableError, MienError, ServerError, closed, forked
from mien.transport.base import REQUEST_ID, Metadata, Reply
from mien.transport.local_stream import LocalStream
from mien.transport.methods import Method, Request, Response, StreamMethod
from mien.transport.sources import AsyncSource, Source

if TYPE_CHECKING:
    from mien_orchestrator.embedded import EmbeddedService
    from mien_orchestrator.settings import Settings

LocalSettings: TypeAlias = "Settings | Mapping[str, object] | None"
"""Settings of local mode: a `mien_orchestrator.settings.Settings`, a mapping as in the settings file, or None."""

T = TypeVar("T")


def _start(settings: LocalSettings) -> "EmbeddedService":
    """Load the service; raises `EmbeddedUnavailableError` if its packages are missing, `InvalidRequestError`."""
    try:
        from mien_orchestrator.embedded import EmbeddedService

        return EmbeddedService(settings)
    except ImportError as error:
        raise EmbeddedUnavailableError(
            f"local mode needs the package {error.name!r}: pip install 'mien[local]', or call a server "
            "(server='host:port', --server, MIEN_SERVER)"
        ) from error


class _Worker:
    """A thread with an event loop and the service.

    It has no reference to the engine that owns it, so that an engine which is dropped without `close` is collected,
    and its finalizer ends the thread.
    """

    def __init__(self, settings: LocalSettings) -> None:
        self._settings = settings
        self._service: EmbeddedService | None = None
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._closed = False
        self._in_flight: set[asyncio.Task[Any]] = set()
        self._streaming: set[asyncio.Task[Any]] = set()
        self._stopped = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="mien-local", daemon=True)
        self._thread.start()

    def submit(self, coroutine: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        """Run a coroutine on the worker's thread; raises `MienError` after `stop` and in a forked child."""
        if os.getpid() != self._process:
            raise forked()
        with self._lock:
            if self._closed:
                raise closed()
            return asyncio.run_coroutine_threadsafe(coroutine(), self._loop)

    async def load(self) -> "EmbeddedService":
        """Return the service; the first call loads it, and those that come meanwhile wait."""
        if self._service is None:
            self._service = _start(self._settings)
        return self._service

    async def call(
        self, method: Method[Request, Response], request: Request, timeout: float, metadata: Metadata
    ) -> Reply[Response]:
        """Answer a request; `timeout` begins when the models are loaded."""
        task = asyncio.current_task()
        assert task
        self._in_flight.add(task)
        try:
            service = await self.load()
            return Reply(await service.call(method, request, timeout, metadata), metadata[REQUEST_ID])
        except Exception as raised:
            error = raised if isinstance(raised, MienError) else _unexpected(raised)
            error.request_id = metadata[REQUEST_ID]
            raise error from raised.__cause__ if error is raised else raised
        finally:
            self._in_flight.discard(task)

    async def open_stream(
        self, method: StreamMethod[Request, Response], metadata: Metadata
    ) -> LocalStream[Request, Response]:
        """Open a stream, once the models are loaded."""
        service = await self.load()
        return LocalStream(lambda requests: service.stream(method, requests, metadata), metadata[REQUEST_ID])

    async def next_reply(self, stream: LocalStream[Request, Response]) -> Response | None:
        """Return the next reply of a stream, None after the last one; `stop` cancels it."""
        task = asyncio.current_task()
        assert task
        self._streaming.add(task)
        try:
            return await stream.next()
        except asyncio.CancelledError as error:
            raise closed() from error
        except Exception as raised:
            raise (raised if isinstance(raised, MienError) else _unexpected(raised)) from raised.__cause__
        finally:
            self._streaming.discard(task)

    def stop(self) -> None:
        """Refuse further calls; the thread ends after those in flight. Does nothing in a forked child."""
        if os.getpid() != self._process:
            return
        with self._lock:
            if not self._closed:
                self._closed = True
                self._loop.call_soon_threadsafe(self._stopped.set)

    def close(self) -> None:
        """Stop, and wait for the thread to end."""
        self.stop()
        if os.getpid() == self._process:
            self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._wait())
        if self._service:
            self._service.close()

    async def _wait(self) -> None:
        await self._stopped.wait()
        for task in self._streaming:  # whose frames may come for ever
            task.cancel()
        await asyncio.gather(*self._in_flight, return_exceptions=True)


def _result(future: Future[T]) -> T:
    """Wait for a result; the work ends if the caller is interrupted."""
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def _unexpected(error: Exception) -> MienError:
    if isinstance(error, RuntimeError) and "shutdown" in str(error):  # of a thread pool
        return MienError("the interpreter is exiting; analyze before its exit handlers run", reason="EXITING")
    return ServerError(f"the analysis failed with {type(error).__name__}: {error}; please report this")


class LocalEngine:
    """Runs the service in this process; the constructor loads the models. Thread-safe."""

    def __init__(self, settings: LocalSettings = None) -> None:
        """Load the models.

        Raises:
            EmbeddedUnavailableError: the packages of local mode are not installed.
            InvalidRequestError: a setting or a model is invalid.

        """
        self._worker = _Worker(settings)
        weakref.finalize(self, self._worker.stop).atexit = False
        try:
            self._worker.submit(self._worker.load).result()
        except BaseException:
            self._worker.stop()
            raise

    def call(
        self, method: Method[Request, Response], request: Request, timeout: float, metadata: Metadata
    ) -> Reply[Response]:
        """Answer a request; see `Engine.call`."""
        return _result(self._worker.submit(lambda: self._worker.call(method, request, timeout, metadata)))

    def stream(
        self, method: StreamMethod[Request, Response], requests: Iterable[Request], metadata: Metadata
    ) -> Generator[Response]:
        """Answer the requests of a stream; see `Engine.stream`."""
        worker = self._worker
        stream = worker.submit(lambda: worker.open_stream(method, metadata)).result()
        source = Source(requests)

        def feed() -> None:
            with suppress(MienError):  # the client was closed
                for request in source.requests():
                    if not worker.submit(partial(stream.feed, request)).result():
                        return
                worker.submit(partial(stream.feed, None)).result()

        threading.Thread(target=feed, name="mien-frames", daemon=True).start()
        try:
            while (reply := _result(worker.submit(lambda: worker.next_reply(stream)))) is not None:
                yield reply
        finally:
            with suppress(MienError):  # the client was closed
                worker.submit(stream.close).result()
        source.check()

    def close(self) -> None:
        """Refuse further calls, wait for those in flight, and free threads and models."""
        self._worker.close()


class AsyncLocalEngine:
    """The asyncio version of `LocalEngine`, for any event loop; the first call loads the models."""

    def __init__(self, settings: LocalSettings = None) -> None:
        self._worker = _Worker(settings)
        weakref.finalize(self, self._worker.stop).atexit = False

    async def call(
        self, method: Method[Request, Response], request: Request, timeout: float, metadata: Metadata
    ) -> Reply[Response]:
        """Answer a request; see `Engine.call`."""
        return await asyncio.wrap_future(
            self._worker.submit(lambda: self._worker.call(method, request, timeout, metadata))
        )

    async def stream(
        self, method: StreamMethod[Request, Response], requests: AsyncIterable[Request], metadata: Metadata
    ) -> AsyncGenerator[Response]:
        """Answer the requests of a stream; see `Engine.stream`."""
        worker = self._worker
        stream = await asyncio.wrap_future(worker.submit(lambda: worker.open_stream(method, metadata)))
        source = AsyncSource(requests)

        async def feed() -> None:
            async for request in source.requests():
                if not await asyncio.wrap_future(worker.submit(partial(stream.feed, request))):
                    return
            await asyncio.wrap_future(worker.submit(partial(stream.feed, None)))

        feeding = asyncio.create_task(feed())
        try:
            while (reply := await asyncio.wrap_future(worker.submit(lambda: worker.next_reply(stream)))) is not None:
                yield reply
        finally:
            feeding.cancel()
            await asyncio.wait([feeding])
            with suppress(MienError):  # the client was closed
                await asyncio.wrap_future(worker.submit(stream.close))
        source.check()

    async def close(self) -> None:
        """Refuse further calls, wait for those in flight, and free threads and models."""
        await asyncio.to_thread(self._worker.close)
