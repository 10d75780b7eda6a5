"""The HTTP server: uvicorn on the event loop of the gRPC server, on a given socket, without its signal handlers."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from mien.errors import ServerUnavailableError
from mien_orchestrator.edge.http.connection import HttpConnection, WebSocketConnection
from mien_orchestrator.edge.http.guard import MAX_HEADER_BYTES
from mien_orchestrator.settings import Settings

_BACKLOG = 1024
_KEEP_ALIVE_SECONDS = 75
"""Keep-alive timeout: longer than that of common clients and proxies, since a request that is sent while the server
closes the connection is lost."""


class _Uvicorn(uvicorn.Server):
    """Does not handle signals, and signals when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing."""
        yield


def bind(settings: Settings, port: int, *, shared: bool) -> socket.socket:
    """Listen on a port of the settings' address; `shared` allows several processes of one machine to listen on it.

    Raises `ServerUnavailableError` if that is not possible.
    """
    host = settings.server.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server(
            (host, port), family=family, backlog=_BACKLOG, reuse_port=shared, dualstack_ipv6=host == "::"
        )
    except OSError as error:
        raise ServerUnavailableError(
            f"cannot listen for HTTP on {settings.server.address(port)}: {error.strerror}; set another http.port"
        ) from error


class HttpServer:
    """Serves an application on a bound socket."""

    def __init__(self, app: ASGIApp, listening: socket.socket, tls: ssl.SSLContext | None, max_message: int) -> None:
        """`max_message` is the largest message of a WebSocket, in bytes."""
        self._socket = listening
        self._server = _Uvicorn(_configuration(app, tls, max_message))
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Accept connections."""
        self._serving = asyncio.create_task(self._server.serve([self._socket]))
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait([listening, self._serving], return_when=asyncio.FIRST_COMPLETED)
        if self._serving.done():
            listening.cancel()
            self._serving.result()

    async def stop(self, seconds: float) -> None:
        """Accept no more connections, and wait up to `seconds` for the replies in progress."""
        if self._serving:
            self._server.config.timeout_graceful_shutdown = seconds  # type: ignore[assignment]  # passed to wait_for
            self._server.should_exit = True
            await self._serving


def _configuration(app: ASGIApp, tls: ssl.SSLContext | None, max_message: int) -> uvicorn.Config:
    configuration = uvicorn.Config(
        app,
        http=HttpConnection,
        ws=WebSocketConnection,
        ws_max_size=max_message,
        ws_per_message_deflate=False,  # images are compressed already, and a few bytes could unpack to many
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level=logging.ERROR,  # warnings are those of clients
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        reset_contextvars=True,
        ssl_context_factory=(lambda configuration, default: tls) if tls else None,
    )
    configuration.load()
    return configuration
