"""Tests of how long a client, and the command, try to connect to a server that they have not reached yet."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

import mien
from mien.v1 import face_service_pb2 as pb

from ..photographs import EXAMPLE
from .test_commands import client
from .test_retries import Refusing, plainly, serving


class Starting(Refusing):
    """A server with a version."""

    def GetServerInfo(  # noqa: N802
        self, request: pb.GetServerInfoRequest, context: grpc.ServicerContext
    ) -> pb.GetServerInfoResponse:
        return pb.GetServerInfoResponse(version="9.8.7")


@pytest.mark.parametrize(
    ("server", "message"),
    [
        ("127.0.0.1:1", "no server answers at 127.0.0.1:1"),
        ("no-such-host.invalid:50051", "the host's name cannot be resolved"),
        ("127.0.0.1:1,127.0.0.2:1", "no server answers at 127.0.0.1:1, 127.0.0.2:1"),
    ],
)
@pytest.mark.parametrize("command", [["info"], ["analyze", EXAMPLE], ["bench", EXAMPLE]], ids=lambda words: words[0])
def test_the_command_reports_a_server_that_cannot_be_reached_at_once(
    command: list[str], server: str, message: str
) -> None:
    began = time.monotonic()
    result = client(*command, "--server", server)
    assert time.monotonic() - began < 6, "most of it is the start of Python"
    assert result.returncode == 3
    assert message in result.stderr.decode()


@pytest.mark.parametrize("server", ["127.0.0.1:1", "no-such-host.invalid:50051"])
def test_a_client_tries_to_connect_for_its_connect_timeout(server: str) -> None:
    for wanted in (0, 1.5):
        began = time.monotonic()
        with mien.Client(server, connect_timeout=wanted) as tried, pytest.raises(mien.ServerUnavailableError):
            tried.server_info()
        assert wanted - 1 < time.monotonic() - began < wanted + 1


async def test_the_async_client_has_a_connect_timeout_too() -> None:
    began = time.monotonic()
    async with mien.AsyncClient("127.0.0.1:1", connect_timeout=0) as tried:
        with pytest.raises(mien.ServerUnavailableError):
            await tried.server_info()
    assert time.monotonic() - began < 1


def test_the_command_waits_for_a_server_that_is_starting() -> None:
    with ThreadPoolExecutor(1) as pool:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = f"127.0.0.1:{listener.getsockname()[1]}"
            waiting = pool.submit(client, "info", "--server", address, "--connect-timeout", "30")
            for _ in range(2):  # attempts that fail
                listener.accept()[0].close()
        with serving(Starting(0, plainly(grpc.StatusCode.INTERNAL)), address):
            result = waiting.result()
    assert result.returncode == 0, result.stderr
    assert b"9.8.7" in result.stdout


def test_a_server_that_restarts_is_waited_for_whatever_the_connect_timeout() -> None:
    with serving(Refusing(0, plainly(grpc.StatusCode.INTERNAL))) as address:
        tried = mien.Client(address, connect_timeout=0)
        tried.analyze(b"x")
    with tried, ThreadPoolExecutor(1) as pool:
        call = pool.submit(tried.analyze, b"x")
        with serving(Refusing(0, plainly(grpc.StatusCode.INTERNAL)), address):
            call.result()


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "3", None])
def test_an_invalid_connect_timeout_is_rejected(value: object) -> None:
    with pytest.raises(mien.InvalidRequestError, match="connect_timeout must be 0 or more seconds"):
        mien.Client("127.0.0.1:1", connect_timeout=value)  # type: ignore[arg-type]
