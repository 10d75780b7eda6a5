"""Measure the servers among the systems, each over its own HTTP interface, with calls in flight."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from alternatives.catalog import SYSTEMS, Installed
from alternatives.results import Throughput
from processes import cpu_seconds

IN_FLIGHT = 16
_START_SECONDS = 180.0
_CALL_SECONDS = 300.0
_BOUNDARY = "photograph-4f0c2d7b"
_DEEPFACE = "deepface.api.src.app:create_app()"


@dataclass(frozen=True, slots=True)
class Server:
    """One server as its documentation starts it."""

    title: str
    system: str
    """Name of the system in the catalog."""
    command: tuple[str, ...]
    """Program and arguments, with `{port}`."""
    path: str
    field: str | None
    """Field of a form that takes the photograph; None for the body."""
    requests: int
    """Requests of a round: about as long as the other server's."""

    def request(self, port: int, photograph: bytes) -> Request:
        """Return the request for a photograph."""
        url = f"http://127.0.0.1:{port}{self.path}"
        if self.field is None:
            return Request(url, data=photograph, headers={"Content-Type": "application/octet-stream"})
        fields = {
            'name="actions"': b"age,gender,emotion",
            f'name="{self.field}"; filename="photograph.jpg"': photograph,
        }
        parts = [
            f"--{_BOUNDARY}\r\nContent-Disposition: form-data; {name}\r\n\r\n".encode() + value + b"\r\n"
            for name, value in fields.items()
        ]
        content_type = f"multipart/form-data; boundary={_BOUNDARY}"
        return Request(
            url, data=b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode(), headers={"Content-Type": content_type}
        )


SERVERS = (
    Server(
        "Mien, single server",
        "mien",
        ("mien", "serve", "--inline", "--port", "0", "--http-port", "{port}"),
        "/v1/analyze",
        None,
        requests=192,
    ),
    Server(
        "DeepFace's API (random weights)",
        "deepface",
        ("python", "-m", "gunicorn", "--workers=1", "--timeout=7200", "--bind=127.0.0.1:{port}", _DEEPFACE),
        "/analyze",
        "img",
        requests=16,
    ),
)


class ServerError(Exception):
    """A server that does not start or answer; the message names its log."""


def measure(server: Server, root: Path, index: int, photograph: bytes) -> Throughput:
    """Start a server, warm it up with `IN_FLIGHT` calls and measure it; raises `ServerError`."""
    with _started(server, root) as (pid, port), ThreadPoolExecutor(IN_FLIGHT) as pool:
        request = server.request(port, photograph)
        list(pool.map(_call, [request] * IN_FLIGHT))
        cpu, start = cpu_seconds(pid), time.perf_counter()
        list(pool.map(_call, [request] * server.requests))
        elapsed, used = time.perf_counter() - start, cpu_seconds(pid) - cpu
    return Throughput(
        server.title,
        index,
        IN_FLIGHT,
        server.requests,
        round(server.requests / elapsed, 2),
        round(1e3 * used / server.requests, 1),
    )


def _call(request: Request) -> bytes:
    try:
        with urlopen(request, timeout=_CALL_SECONDS) as response:
            content: bytes = response.read()
            return content
    except HTTPError as error:
        raise ServerError(f"HTTP {error.code}: {error.read()[:200].decode(errors='replace')}") from error


@contextmanager
def _started(server: Server, root: Path) -> Iterator[tuple[int, int]]:
    """Start the server; yield its process id and port as soon as the port accepts connections."""
    installed = Installed(next(system for system in SYSTEMS if system.name == server.system), root)
    # Mien's server needs the extra `serve`, which the environment of this benchmark has.
    folder = Path(sys.executable).parent if server.system == "mien" else installed.environment / "bin"
    port = _free_port()
    program, *arguments = (word.format(port=port) for word in server.command)
    log = root / f"{server.system}-server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(folder / program), *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=root,
            env=os.environ | {"DEEPFACE_HOME": str(installed.home)},
        )
    try:
        _wait(process, port, log)
        yield process.pid, port
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > until:
                raise ServerError(f"the server does not accept connections; see {log.name}") from error
        time.sleep(0.1)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
