"""HTTP requests, corrupted at random."""

import random
from collections.abc import Callable, Sequence

from tests.http_client import form

_LINES = (
    b"Host: evil.example",
    b"Host: localhost",
    b"Content-Length: 0",
    b"Content-Length: 7",
    b"Content-Length: 99999999999999999999",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Expect: 100-continue",
    b"Connection: close",
    b"Connection: upgrade\r\nUpgrade: websocket",
    b"Content-Type: multipart/form-data; boundary=x",
    b"Content-Type: application/json",
    b"Content-Encoding: br",
    b"Authorization: Bearer \xff\xfe",
    b"Origin: null",
    b"grpc-timeout: 99999999H",
    b"X-Request-Timeout: 1e999",
    b"X-Request-Id: " + b"a" * 300,
    b"traceparent: 00-zz-zz-zz",
    b" folded: line",
)
_TARGETS = (
    b"/",
    b"/docs",
    b"/v1/models/%00",
    b"/v1/analyze?tasks=age,age,age&max_faces=2",
    b"/v1/analyze?%ff=%fe",
    b"/v1/analyze?max_faces=" + b"9" * 5000,
    b"http://localhost/v1/server",
    b"/%zz",
    b"/readyz?service=%F0%9F%99%82",
    b"//" + b"a/" * 3000,
)


def requests(image: bytes) -> list[bytes]:
    """Return valid requests: head, empty line, body."""
    body, kind = form(("file", image))
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(image), image)
    return [
        _request("POST /v1/analyze?tasks=age", [f"Content-Length: {len(image)}", "Content-Type: image/jpeg"], image),
        _request("POST /v1/analyze", [f"Content-Length: {len(body)}", f"Content-Type: {kind}"], body),
        _request("POST /v1/analyze", ["Transfer-Encoding: chunked"], chunks),
        _request("GET /v1/models/mien-emotion", [], b""),
        _request("GET /readyz?service=age", ["Authorization: Bearer x"], b""),
    ]


def _request(line: str, headers: Sequence[str], body: bytes) -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode() + body


def _flip(data: bytearray, chance: random.Random, others: list[bytes]) -> None:
    for _ in range(chance.choice((1, 3, 30))):
        data[_place(data, chance)] = chance.choice((0, 10, 13, 32, 58, 127, 255, chance.randrange(256)))


def _cut(data: bytearray, chance: random.Random, others: list[bytes]) -> None:
    del data[_place(data, chance) + 1 :]


def _leave_out(data: bytearray, chance: random.Random, others: list[bytes]) -> None:
    at = _place(data, chance)
    del data[at : at + chance.choice((1, 5, 300))]


def _put_in(data: bytearray, chance: random.Random, others: list[bytes]) -> None:
    at = _place(data, chance)
    data[at:at] = chance.randbytes(chance.choice((1, 20, 3000)))


def _add_line(data: bytearray, chance: random.Random, others: list[bytes]) -> None:
    at = data.find(b"\r\n")
    if at >= 0:
        data[at:at] = b"\r\n" + chance.choice(_LINES) * chance.choice((1, 1, 2))


def _change_target(data: bytearray, chance: random.Random, others: list[bytes]) -> None:
    parts = data.split(b" ", 2)
    if len(parts) == 3:
        data[:] = b" ".join([chance.choice((parts[0], b"PUT", b"HEAD", b"OPTIONS")), chance.choice(_TARGETS), parts[2]])


def _join(data: bytearray, chance: random.Random, others: list[bytes]) -> None:
    data += chance.choice(others)


MUTATIONS: tuple[Callable[[bytearray, random.Random, list[bytes]], None], ...] = (
    _flip,
    _cut,
    _leave_out,
    _put_in,
    _add_line,
    _change_target,
    _join,
)


def _place(data: bytearray, chance: random.Random) -> int:
    """Return a place, as often in the head as behind it."""
    return chance.randrange(min(len(data), chance.choice((200, len(data)))))


def mutated(valid: list[bytes], chance: random.Random) -> bytes:
    """Return one of the requests, corrupted in one to three ways."""
    data = bytearray(chance.choice(valid))
    for mutation in chance.choices(MUTATIONS, k=chance.choice((1, 1, 2, 3))):
        if data:
            mutation(data, chance, valid)
    return bytes(data)
