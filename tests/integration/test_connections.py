"""Tests of slow and lost connections, and of servers that do not respond."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import mien

SERVER = """
import sys
from concurrent.futures import ThreadPoolExecutor
import grpc
from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceServicer, add_FaceAnalysisServiceServicer_to_server

class Servicer(FaceAnalysisServiceServicer):
    def Analyze(self, request, context):
        return pb.AnalyzeResponse()

server = grpc.server(ThreadPoolExecutor(4))
add_FaceAnalysisServiceServicer_to_server(Servicer(), server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
"""


@contextmanager
def server() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a server that answers at once, in a process of its own."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"127.0.0.1:{process.stdout.readline().strip()}", process
        finally:
            process.kill()


@pytest.mark.slow
def test_a_hanging_server_delays_but_does_not_fail_calls() -> None:
    with server() as (one, _), server() as (two, frozen), mien.Client([one, two]) as client:
        for _ in range(10):  # both are connected
            client.analyze(b"x")
        os.kill(frozen.pid, signal.SIGSTOP)
        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            assert len(list(pool.map(client.analyze, [b"x"] * 8))) == 8
        lost = time.monotonic()
        assert lost - began < 28  # the keepalive: a ping after 10 s, 10 s for its answer
        for _ in range(20):
            client.analyze(b"x")
        assert time.monotonic() - lost < 2  # the server that hangs is left out


def relay(listener: socket.socket, target: tuple[str, int], delay: threading.Event) -> None:
    """Pass one connection on to a server, its first bytes only after a time."""
    near, _ = listener.accept()
    delay.wait(2)

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):  # one side closed its connection first
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    with near, socket.create_connection(target) as far:
        back = threading.Thread(target=pump, args=(far, near), daemon=True)
        back.start()
        pump(near, far)
        back.join()


def test_a_slow_connection_succeeds(single: str) -> None:
    host, _, port = single.rpartition(":")
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        relayed = pool.submit(relay, listener, (host, int(port)), threading.Event())
        with mien.Client(f"127.0.0.1:{listener.getsockname()[1]}") as client:
            assert client.server_info(timeout=10).tasks
        relayed.result(10)


@pytest.mark.parametrize("size", [4 * 2**20 + 1, 17 * 2**20, 200 * 2**20], ids=["4 MiB", "17 MiB", "200 MiB"])
async def test_a_file_over_the_servers_limit_is_refused_alike_whatever_its_size(
    single: str, tmp_path: Path, size: int
) -> None:
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(size)
    with mien.Client(single) as client, pytest.raises(mien.ImageError) as caught:
        client.analyze(path)
    async with mien.AsyncClient(single) as twin:
        with pytest.raises(mien.ImageError) as again:
            await twin.analyze(path)
    assert (caught.value.reason, again.value.reason) == ("IMAGE_TOO_LARGE", "IMAGE_TOO_LARGE")
    assert "more than" in caught.value.message


def test_several_files_over_the_servers_limit_are_never_read(single: str, tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(250 * 2**20)
    code = f"""
import resource
from concurrent.futures import ThreadPoolExecutor
import mien
def refused(_):
    try:
        client.analyze({str(path)!r})
    except mien.ImageError as error:
        return error.reason
with mien.Client({single!r}) as client:
    client.server_info()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(refused, range(4))) == {{"IMAGE_TOO_LARGE"}}
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert int(result.stdout) < 16 * 1024  # KiB
