"""Real gRPC servers on free ports, in this process or as the command `mien serve`."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from mien_orchestrator.edge.server import Server
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.settings import Settings
from mien_orchestrator.telemetry.metrics import Metrics

READY = "mien is ready at "

Running = Callable[[FaceAnalysis, Settings], AbstractContextManager[str]]


def settings_with(**changes: object) -> Settings:
    """Return settings with free ports for gRPC and HTTP; `limits__max_faces=1` sets `limits.max_faces`."""
    base = {"server.port": 0, "http.port": 0, "server.drain_s": 1}
    return Settings.load(base | {name.replace("__", "."): value for name, value in changes.items()})


@contextmanager
def running_server(service: FaceAnalysis, settings: Settings, metrics: Metrics | None = None) -> Iterator[Server]:
    """Serve on a separate thread; yield the server."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = Server(service, settings, metrics=metrics)
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result()
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def run_server(service: FaceAnalysis, settings: Settings, metrics: Metrics | None = None) -> Iterator[str]:
    """Serve on a separate thread; yield the address."""
    with running_server(service, settings, metrics) as server:
        yield server.address


@contextmanager
def serve_command(log: Path, *options: str | Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Run `mien serve --inline`, with its standard error in a file; yield the address and the process."""
    command = [Path(sys.executable).parent / "mien", "serve", "--inline", "--port", "0", *options]
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout
        try:
            line = process.stdout.readline()
            assert line.startswith(READY), log.read_text()
            yield line.removeprefix(READY).strip(), process
        finally:
            process.terminate()
            assert process.wait(60) == 0, log.read_text()


def http_url(process: "subprocess.Popen[str]") -> str:
    """Return the URL of HTTP, which `serve_command`'s process prints after its address."""
    assert process.stdout
    line = process.stdout.readline()
    assert line.startswith(f"{READY}http"), line
    return line.removeprefix(READY).strip()


def free_port() -> int:
    """Return a port of the loopback interface that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def free_port_pair() -> int:
    """Return a free port whose successor is free too."""
    while True:
        with suppress(OSError, OverflowError), socket.create_server(("127.0.0.1", (port := free_port()) + 1)):
            return port
