"""Check every HTTP request (host, origin, no token in the URL); add CORS and security headers to responses."""

from collections.abc import Callable
from urllib.parse import parse_qsl, urlsplit

from google.rpc import code_pb2
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien_orchestrator.edge.http.parameters import TOKEN_NAMES
from mien_orchestrator.edge.http.replies import HttpRequestError, error_reply
from mien_orchestrator.edge.status import unexpected
from mien_orchestrator.settings import Settings

Count = Callable[[str, int], None]
"""Counts a response by its route and status."""

_PROBES = frozenset({"/healthz", "/readyz"})
"""Paths for load balancers, which use other host names."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})

_SECURITY = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}
"""Security headers of every response: a page may not load from or send to another host."""

_CLOSE = {"connection": "close"}
"""Header of a reply to a request whose body was not read, since the body follows on the connection."""

MAX_HEADER_BYTES = 16 * 1024
"""Largest size of a request's path, query and headers."""

STREAM_PATH = "/v1/stream"
"""Path of the only WebSocket."""

_EXPOSED = "x-request-id, retry-after"
_ALLOWED_HEADERS = "authorization, content-type, x-request-id, x-request-timeout, grpc-timeout, traceparent"


class Guard:
    """Checks requests in front of the application."""

    def __init__(self, app: ASGIApp, settings: Settings, count: Count) -> None:
        self._app = app
        self._count = count
        self._hosts = frozenset(name.lower() for name in settings.http.hosts)
        if not self._hosts and settings.server.is_loopback:
            self._hosts = _LOOPBACK
        self._origins = frozenset(settings.http.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        allowed = _cors(origin) if origin in self._origins and origin else {}
        status = 0 if scope["type"] == "http" else 101
        unread = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"

        async def noted() -> Message:
            nonlocal unread
            message = await receive()
            unread = unread and message.get("more_body", False)
            return message

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                MutableHeaders(scope=message).update(_SECURITY | allowed | (_CLOSE if unread else {}))
            await send(message)

        try:
            await self._answer(scope, headers)(scope, noted, guarded)
        except Exception:
            if scope["type"] == "websocket":
                unexpected(scope["path"][:80])
            elif not status:  # otherwise Starlette has answered it, and raises it again
                await error_reply(unexpected(scope["path"][:80]))(scope, noted, guarded)
        finally:
            self._count(getattr(scope.get("route"), "path", "other"), status)

    def _answer(self, scope: Scope, headers: Headers) -> ASGIApp:
        try:
            _check_version(scope["http_version"])
            _check_size(scope)
            if scope["path"] not in _PROBES:
                self._check_host(headers.get("host"))
            self._check_origin(headers)
            _check_query(scope["query_string"])
            _check_socket(scope)
        except HttpRequestError as error:
            return error_reply(error)
        if scope["type"] == "http" and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            return _preflight(headers.get("origin") in self._origins)
        return self._app

    def _check_host(self, host: str | None) -> None:
        """A page of another site can give its own name the address of this machine (DNS rebinding)."""
        if self._hosts and host is not None and _name(host) not in self._hosts:
            raise HttpRequestError(
                "the host name is not accepted; add it to the setting http.hosts",
                reason="HOST_UNKNOWN",
                http_status=421,
            )

    def _check_origin(self, headers: Headers) -> None:
        """A page of another site can send an image without being allowed to read the answer."""
        origin = headers.get("origin")
        if origin is None or origin in self._origins or _same_host(origin, headers.get("host", "")):
            return
        raise HttpRequestError(
            "the origin is not accepted; add it to the setting http.cors_origins",
            reason="ORIGIN_UNKNOWN",
            http_status=403,
            code=code_pb2.PERMISSION_DENIED,
        )


def _name(host: str) -> str:
    """Return a `Host` header without its port."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdecimal() and not port.endswith("]") else host.lower()


def _same_host(origin: str, host: str) -> bool:
    """Return whether a page has this server's own host and port."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _check_version(version: str) -> None:
    if version not in ("1.0", "1.1"):
        raise HttpRequestError(
            "this port speaks HTTP/1.1; for gRPC, call the server's other port",
            reason="HTTP_INVALID",
            http_status=505,
            connection="close",
        )


def _check_size(scope: Scope) -> None:
    """h11 bounds the headers only of a request that comes in several parts."""
    size = len(scope["raw_path"]) + len(scope["query_string"])
    if size + sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
        raise HttpRequestError(
            f"the path, the query and the headers have more than {MAX_HEADER_BYTES:,} bytes",
            reason="HTTP_INVALID",
            http_status=431,
            connection="close",
        )


def _check_socket(scope: Scope) -> None:
    if scope["type"] == "websocket" and scope["path"] != STREAM_PATH:
        raise HttpRequestError(
            f"unknown WebSocket path {scope['path'][:80]!r}; use {STREAM_PATH}",
            reason="PATH_UNKNOWN",
            http_status=404,
            code=code_pb2.NOT_FOUND,
        )


def _check_query(query: bytes) -> None:
    for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name.lower() in TOKEN_NAMES:
            raise HttpRequestError(
                "a token must not be in the URL, which proxies log; replace the token, and send the new one as "
                "'Authorization: Bearer TOKEN'",
                reason="TOKEN_IN_URL",
                http_status=400,
            )


def _cors(origin: str) -> dict[str, str]:
    return {
        "access-control-allow-origin": origin,
        "access-control-expose-headers": _EXPOSED,
        "cross-origin-resource-policy": "cross-origin",
        "vary": "origin",
    }


def _preflight(known: bool) -> Response:
    headers = {
        "access-control-allow-methods": "GET, POST",
        "access-control-allow-headers": _ALLOWED_HEADERS,
        "access-control-max-age": "600",
    }
    return Response(status_code=204, headers=headers if known else {})
