"""One HTTP connection: time limits for silent clients, refusals that reach clients still sending, and errors as JSON.

uvicorn's own protocol waits without end for the first request, closes a connection with an unread body at once (so that
the client sees a reset instead of the answer), and answers what is not HTTP with plain text.
"""

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from google.rpc import code_pb2
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.http11 import Response
from websockets.server import ServerProtocol
from websockets.typing import StatusLike

from mien_orchestrator.edge.http.replies import HttpRequestError, error_reply

MAX_CONNECTIONS = 2000
"""Maximum number of connections; each has its own buffers."""

REQUEST_SECONDS = 10.0
"""Time that a client has to send the headers of a request, from the connection or their first byte."""

LINGER_SECONDS = 1.0
"""Time for which a refused body is received and dropped, so that the client reads the refusal."""

_SHOWN = 200
"""Characters of h11's message, which repeats what the client sent."""

_ANSWERABLE = (h11.IDLE, h11.SEND_RESPONSE)


class LingeringTransport:
    """A transport that closes only once the client has had time to read the reply, if it is still sending."""

    def __init__(self, transport: asyncio.Transport, sending: Callable[[], bool]) -> None:
        self._transport = transport
        self._sending = sending
        self.lingering: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Return whether nothing may be written any more."""
        return self.lingering is not None or self._transport.is_closing()

    def close(self) -> None:
        """Close, at once or after a while."""
        if self.lingering is not None or self._transport.is_closing():
            return
        if not self._sending():
            self._transport.close()
            return
        try:
            if self._transport.can_write_eof():
                self._transport.write_eof()
        except OSError:  # the client has reset the connection
            self._transport.close()
            return
        self._transport.resume_reading()
        # What is then not sent is not read: closing would wait for it without end.
        self.lingering = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._transport.abort)

    def close_now(self) -> None:
        """Close without waiting for the client."""
        if self.lingering is not None:
            self.lingering.cancel()
        self._transport.close()


class _Handshake(ServerProtocol):
    """The handshake of a WebSocket, refused with JSON."""

    def reject(self, status: StatusLike, text: str) -> Response:
        """Return the reply to a handshake that is not valid; `text` is the library's description."""
        cause = text.splitlines()[0].rstrip(".") if text else "failed to open a WebSocket connection"
        error = HttpRequestError(f"{cause}; use a WebSocket client", reason="HTTP_INVALID", http_status=int(status))
        reply = error_reply(error)
        headers = Headers([("connection", "close"), *reply.headers.items()])
        return Response(int(status), STATUS_PHRASES[status].decode(), headers, bytes(reply.body))


class WebSocketConnection(WebSocketsSansIOProtocol):
    """uvicorn's protocol for WebSockets, which reads one message after the other."""

    def __init__(self, config: uvicorn.Config, *args: Any, **options: Any) -> None:
        super().__init__(config, *args, **options)
        self.conn = _Handshake(max_size=config.ws_max_size, logger=self.logger)

    def data_received(self, data: bytes) -> None:
        """Handle bytes, unless the connection is only open for its last message to be read."""
        if not self.transport.is_closing():
            super().data_received(data)

    async def send(self, message: Any) -> None:
        """Send a message; a handshake that was refused with a reply is complete, which uvicorn logs as an error."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True


class HttpConnection(H11Protocol):
    """uvicorn's protocol for h11, which bounds the size of headers."""

    _lingering: LingeringTransport
    _silence: asyncio.TimerHandle | None = None
    _upgraded = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start waiting for the first request."""
        # asyncio does so by itself only for sockets that name their protocol, which accepted ones of ours do not: the
        # body of a reply would wait 40 ms for the acknowledgement of its headers.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lingering = LingeringTransport(transport, self._client_sends)
        super().connection_made(self._lingering)  # type: ignore[arg-type]
        self._await_request()
        if len(self.connections) > MAX_CONNECTIONS:
            error = HttpRequestError(
                "too many connections; try again later",
                reason="SERVER_BUSY",
                http_status=503,
                code=code_pb2.RESOURCE_EXHAUSTED,
            )
            self._refuse(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        self._stop_waiting()
        if self._lingering.lingering:
            self._lingering.lingering.cancel()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        """Handle bytes, unless the connection is only open for its last reply to be read."""
        if self._lingering.lingering is not None:
            return
        if self._silence is None and (self.cycle is None or self.cycle.response_complete):
            self._await_request()  # the next one on a connection that was kept
        super().data_received(data)

    def eof_received(self) -> None:
        """Close once both sides have ended."""
        if self._lingering.lingering:
            self._lingering.close_now()

    def handle_events(self) -> None:
        """Handle complete events; the wait for a request ends when its headers are complete."""
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over to the protocol of WebSockets, which has time limits of its own."""
        self._stop_waiting()
        self._upgraded = True
        super().handle_websocket_upgrade(event)

    def shutdown(self) -> None:
        """End after the reply in progress, or now."""
        if self.transport.is_closing() or self.conn.our_state is h11.ERROR:
            self._lingering.close_now()
        else:
            super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection."""
        self._lingering.close_now()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        cause = sys.exc_info()[1]
        if self.conn.our_state not in _ANSWERABLE or (self.cycle is not None and not self.cycle.response_complete):
            self._lingering.close_now()
            return
        hint = cause.error_status_hint if isinstance(cause, h11.RemoteProtocolError) else 400
        self._refuse(
            HttpRequestError(
                f"this is not a valid HTTP/1.1 request: {str(cause or msg)[:_SHOWN]}",
                reason="HTTP_INVALID",
                http_status=hint,
            )
        )

    def _refuse(self, error: HttpRequestError) -> None:
        reply = error_reply(error)
        headers = [*reply.raw_headers, (b"connection", b"close")]
        status = reply.status_code
        for event in (
            h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES[status]),
            h11.Data(data=bytes(reply.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _client_sends(self) -> bool:
        return self._upgraded or self.conn.their_state in (h11.SEND_BODY, h11.ERROR)

    def _await_request(self) -> None:
        self._stop_waiting()
        self._silence = self.loop.call_later(REQUEST_SECONDS, self._lingering.close_now)

    def _stop_waiting(self) -> None:
        if self._silence:
            self._silence.cancel()
            self._silence = None
