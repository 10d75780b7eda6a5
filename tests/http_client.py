"""HTTP as clients speak it: whole requests, and bytes over a socket for what no HTTP library sends."""

import json
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from google.protobuf.json_format import ParseDict
from google.rpc import error_details_pb2, status_pb2

SECONDS = 20


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> status_pb2.Status:
        """The body as google.rpc.Status."""
        fields = {name: value for name, value in self.json.items() if name != "error"}  # for inference clients
        return ParseDict(fields, status_pb2.Status())

    @property
    def reason(self) -> str:
        """The reason of the error."""
        info = error_details_pb2.ErrorInfo()
        assert any(detail.Unpack(info) for detail in self.error.details), self.body
        return info.reason


def fetch(
    url: str,
    path: str,
    body: bytes | Iterable[bytes] | None = None,
    *,
    method: str | None = None,
    tls: ssl.SSLContext | None = None,
    **headers: str,
) -> Answer:
    """Send one request on its own connection; underscores in the names of headers become hyphens."""
    parts = urlsplit(url)
    assert parts.hostname
    if parts.scheme == "https":
        connection: HTTPConnection = HTTPSConnection(parts.hostname, parts.port, timeout=SECONDS, context=tls)
    else:
        connection = HTTPConnection(parts.hostname, parts.port, timeout=SECONDS)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method or ("GET" if body is None else "POST"), path, body, named)
        return _answer(connection.getresponse())
    finally:
        connection.close()


def send_bytes(url: str, *parts: bytes, end: bool = False) -> Answer:
    """Send bytes on a connection of their own, and read the answer; `end` closes the sending side before."""
    with connect(url) as connection:
        for part in parts:
            connection.sendall(part)
        if end:
            connection.shutdown(socket.SHUT_WR)
        return receive(connection)


def connect(url: str) -> socket.socket:
    """Open a connection."""
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=SECONDS)


def receive(connection: socket.socket, method: str = "GET") -> Answer:
    """Read one answer; that to a HEAD request has no body."""
    with closing(HTTPResponse(connection, method=method)) as response:
        response.begin()
        return _answer(response)


def form(*files: tuple[str, bytes], boundary: str = "X-limit") -> tuple[bytes, str]:
    """Return a form with files by field name, and its content type."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="a.jpg"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, content in files
    ]
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"


def zeros(count: int, part: int = 65_536) -> Iterator[bytes]:
    """Yield parts of an upload."""
    for start in range(0, count, part):
        yield bytes(min(part, count - start))


def _answer(response: HTTPResponse) -> Answer:
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
