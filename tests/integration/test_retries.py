"""Tests of the SDK's retries, counted by real servers. The policy is in `docs/client.md`."""

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

import mien
from mien.transport.retries import WINDOW
from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceServicer, add_FaceAnalysisServiceServicer_to_server

Refuse = Callable[[grpc.ServicerContext], None]


class Refusing(FaceAnalysisServiceServicer):
    """Refuses so many calls, then answers."""

    def __init__(self, times: int, refuse: Refuse) -> None:
        self.calls, self._times, self._refuse = 0, times, refuse
        self._lock = threading.Lock()

    def Analyze(self, request: pb.AnalyzeRequest, context: grpc.ServicerContext) -> pb.AnalyzeResponse:  # noqa: N802
        with self._lock:
            self.calls += 1
            refused = self.calls <= self._times
        if refused:
            self._refuse(context)
        return pb.AnalyzeResponse()


@contextmanager
def serving(servicer: FaceAnalysisServiceServicer, address: str = "127.0.0.1:0") -> Iterator[str]:
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool)
        add_FaceAnalysisServiceServicer_to_server(servicer, server)
        address = f"127.0.0.1:{server.add_insecure_port(address)}"
        server.start()
        yield address
        server.stop(None).wait()


def plainly(code: grpc.StatusCode) -> Refuse:
    return lambda context: context.abort(code, "not now")


def with_advice(seconds: float) -> Refuse:
    status = status_pb2.Status(code=8, message="not now")
    delay = Duration(nanos=int(seconds % 1 * 1e9), seconds=int(seconds))
    status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return lambda context: context.abort_with_status(rpc_status.to_status(status))


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
@pytest.mark.parametrize("size", [10, 3_000_000], ids=["small", "larger than gRPC's own retry buffer"])
def test_a_server_that_is_unavailable_twice_is_called_three_times(code: grpc.StatusCode, size: int) -> None:
    servicer = Refusing(2, plainly(code))
    with serving(servicer) as address, mien.Client(address) as client:
        client.analyze(b"x" * size)
    assert servicer.calls == 3


async def test_the_async_client_retries_as_well() -> None:
    for refuse in (plainly(grpc.StatusCode.UNAVAILABLE), plainly(grpc.StatusCode.CANCELLED), with_advice(0.05)):
        servicer = Refusing(2, refuse)
        with serving(servicer) as address:
            async with mien.AsyncClient(address) as client:
                await client.analyze(b"x")
        assert servicer.calls == 3


@pytest.mark.parametrize(
    ("refuse", "error", "calls"),
    [
        (plainly(grpc.StatusCode.RESOURCE_EXHAUSTED), mien.OverloadedError, 1),
        (plainly(grpc.StatusCode.INTERNAL), mien.ServerError, 1),
        (plainly(grpc.StatusCode.INVALID_ARGUMENT), mien.InvalidRequestError, 1),
        (with_advice(60), mien.OverloadedError, 1),
    ],
    ids=["busy without advice", "internal", "invalid", "busy for longer than the deadline"],
)
def test_calls_are_retried_only_if_that_can_help(refuse: Refuse, error: type[mien.MienError], calls: int) -> None:
    servicer = Refusing(99, refuse)
    with serving(servicer) as address, mien.Client(address) as client, pytest.raises(error):
        client.analyze(b"x", timeout=10)
    assert servicer.calls == calls


def test_the_retry_delay_is_respected() -> None:
    servicer = Refusing(1, with_advice(0.5))
    with serving(servicer) as address, mien.Client(address) as client:
        with pytest.raises(mien.OverloadedError):
            client.analyze(b"x", timeout=0.4)
        servicer.calls = 0
        client.analyze(b"x", timeout=5)
    assert servicer.calls == 2


def test_a_server_that_always_fails_gets_eleven_to_thirteen_attempts() -> None:
    """Servers of three kinds, called at the same time, since each call takes the whole window."""

    def call(refuse: Refuse) -> tuple[type[BaseException], float, int]:
        servicer = Refusing(10_000, refuse)
        with serving(servicer) as address, mien.Client(address) as client:
            began = time.monotonic()
            with pytest.raises(mien.MienError) as raised:
                client.analyze(b"x", timeout=60)
            return raised.type, time.monotonic() - began, servicer.calls

    kinds = {
        mien.ServerUnavailableError: plainly(grpc.StatusCode.UNAVAILABLE),
        mien.CallCancelledError: plainly(grpc.StatusCode.CANCELLED),
        mien.OverloadedError: with_advice(0.05),
    }
    with ThreadPoolExecutor(len(kinds)) as pool:
        for expected, (error, seconds, calls) in zip(kinds, pool.map(call, kinds.values()), strict=True):
            assert error is expected
            assert 7 < seconds < WINDOW + 1
            assert 11 <= calls <= 13


def test_no_attempt_begins_after_the_deadline() -> None:
    servicer = Refusing(10_000, plainly(grpc.StatusCode.UNAVAILABLE))
    with serving(servicer) as address, mien.Client(address) as client:
        began = time.monotonic()
        with pytest.raises(mien.ServerUnavailableError):
            client.analyze(b"x", timeout=1.4)
        assert time.monotonic() - began < 1.4
    assert servicer.calls == 4  # at 0, 0.1, 0.3 and 0.7 s, or up to a fifth later; the next would be at 1.5 s


def test_a_server_that_keeps_failing_gets_no_more_retries() -> None:
    servicer = Refusing(10_000, plainly(grpc.StatusCode.UNAVAILABLE))

    def call() -> None:
        with pytest.raises(mien.ServerUnavailableError):
            client.analyze(b"x", timeout=1)

    with serving(servicer) as address, mien.Client(address) as client:
        with ThreadPoolExecutor(16) as pool:
            for ended in [pool.submit(call) for _ in range(32)]:
                ended.result()
        before = servicer.calls
        call()
        assert servicer.calls - before == 1


def test_concurrent_calls_respect_a_busy_servers_retry_delay() -> None:
    servicer = Refusing(80, with_advice(0.01))
    with serving(servicer) as address, mien.Client(address) as client, ThreadPoolExecutor(16) as pool:
        assert len(list(pool.map(client.analyze, [b"x"] * 16))) == 16
    assert servicer.calls == 96


def test_the_first_call_after_a_restart_succeeds() -> None:
    with serving(Refusing(0, plainly(grpc.StatusCode.INTERNAL))) as address:
        client = mien.Client(address)
        client.analyze(b"x")
    with client:
        call = ThreadPoolExecutor(1).submit(client.analyze, b"x")
        servicer = Refusing(0, plainly(grpc.StatusCode.INTERNAL))
        with serving(servicer, address) as again:
            assert again == address
            call.result()
            client.analyze(b"x")
    assert servicer.calls == 2


def close_connections(listener: socket.socket) -> int:
    """Close each connection at once, until the listener is shut down; return their number."""
    for count in itertools.count():
        try:
            listener.accept()[0].close()
        except OSError:  # shut down
            return count
    raise AssertionError


def test_a_server_that_returns_within_the_retry_window_is_reached() -> None:
    with ThreadPoolExecutor(1) as pool, socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        client = mien.Client(address)
        attempts = pool.submit(close_connections, listener)
        with pytest.raises(mien.ServerUnavailableError):
            client.analyze(b"x", timeout=4)
        listener.shutdown(socket.SHUT_RDWR)
    assert attempts.result() >= 5, "gRPC's own back-off has grown: it would connect at 0, 1 and 2.6 s"
    with client, ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.analyze, b"x")
        with serving(Refusing(0, plainly(grpc.StatusCode.INTERNAL)), address):
            began = time.monotonic()
            call.result()
            assert time.monotonic() - began < 3


def test_calls_are_balanced_over_servers_and_survive_the_loss_of_one() -> None:
    first, second = Refusing(0, plainly(grpc.StatusCode.INTERNAL)), Refusing(0, plainly(grpc.StatusCode.INTERNAL))
    with serving(first) as one:
        with serving(second) as two, mien.Client([one, two.replace("127.0.0.1", "localhost")]) as client:
            while not (first.calls and second.calls):  # the second connection may take a moment longer
                client.analyze(b"x")
            before = first.calls, second.calls
            for _ in range(10):
                client.analyze(b"x")
            assert (first.calls - before[0], second.calls - before[1]) == (5, 5)
        with mien.Client(f"{one},{two}") as client:
            for _ in range(5):
                client.analyze(b"x")


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_code_without_details_has_an_error_with_advice(code: grpc.StatusCode) -> None:
    with serving(Refusing(99, plainly(code))) as address, mien.Client(address) as client:
        with pytest.raises(mien.MienError) as caught:
            client.analyze(b"x", timeout=1)
        assert caught.value.code == code.value[0]
        assert len(caught.value.message) > len("not now")
        assert not isinstance(caught.value, grpc.RpcError)


def test_details_of_another_code_are_ignored() -> None:
    details = status_pb2.Status(code=8, message="another").SerializeToString()

    def refuse(context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata((("grpc-status-details-bin", details),))
        context.abort(grpc.StatusCode.INTERNAL, "set by a proxy")

    with (
        serving(Refusing(99, refuse)) as address,
        mien.Client(address) as client,
        pytest.raises(mien.ServerError, match="set by a proxy"),
    ):
        client.analyze(b"x")
