"""Hand-written HTTP/2 (RFC 9113): a gRPC call whose message is announced, sent in part and never completed."""

import socket
import struct
from contextlib import suppress
from types import TracebackType
from typing import Self

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _WINDOW_UPDATE = 0, 1, 4, 8
_ACK, _END_HEADERS = 1, 4
_INITIAL_WINDOW = 4
_LARGEST_FRAME = 16_384
_STREAM = 1


class HalfSentCall:
    """Sends the start of one message over its own connection, as fast as the server's flow control allows."""

    def __init__(self, address: str, method: str, announced: int) -> None:
        """Start a call of `method` with a message of `announced` bytes."""
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=5)
        self._windows = {0: 65_535, _STREAM: 65_535}
        self._buffer = b""
        self.sent = 0
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": method,
            ":authority": address,
            "te": "trailers",
            "content-type": "application/grpc",
        }
        block = b"".join(b"\x00" + _text(name) + _text(value) for name, value in headers.items())
        self._socket.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, b"") + _frame(_HEADERS, _END_HEADERS, _STREAM, block))
        self._pending = struct.pack(">BI", 0, announced)  # the prefix of a gRPC message: not compressed, its length

    def send(self, count: int, seconds: float) -> None:
        """Send zeros until `count` bytes are sent, or for some seconds without a window update."""
        self._socket.settimeout(seconds)
        self._pending += bytes(count)
        with suppress(TimeoutError, ConnectionError):  # refused, or not read
            while self._pending:
                self._send_part(min(*self._windows.values(), _LARGEST_FRAME))

    def _send_part(self, room: int) -> None:
        if room <= 0:
            self._receive()
            return
        part, self._pending = self._pending[:room], self._pending[room:]
        self._socket.sendall(_frame(_DATA, 0, _STREAM, part))
        self._windows = {stream: left - len(part) for stream, left in self._windows.items()}
        self.sent += len(part)

    def _receive(self) -> None:
        received = self._socket.recv(65_536)
        if not received:
            raise ConnectionError
        self._buffer += received
        while len(self._buffer) >= 9 and len(self._buffer) >= 9 + int.from_bytes(self._buffer[:3], "big"):
            length = int.from_bytes(self._buffer[:3], "big")
            kind, flags = self._buffer[3], self._buffer[4]
            stream = int.from_bytes(self._buffer[5:9], "big")
            payload, self._buffer = self._buffer[9 : 9 + length], self._buffer[9 + length :]
            if kind == _WINDOW_UPDATE and stream in self._windows:
                self._windows[stream] += int.from_bytes(payload, "big")
            elif kind == _SETTINGS and not flags & _ACK:
                for place in range(0, len(payload), 6):
                    name, value = struct.unpack(">HI", payload[place : place + 6])
                    if name == _INITIAL_WINDOW:
                        self._windows[_STREAM] += value - 65_535
                self._socket.sendall(_frame(_SETTINGS, _ACK, 0, b""))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
