"""Tests that abusive clients do not affect others: cancelled calls, stalled uploads; and SIGTERM."""

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path

import grpc
import psutil
import pytest

import mien
from half_sent import HalfSentCall
from mien.transport.methods import ANALYZE
from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceStub
from mien_orchestrator.edge.server import Server
from storms import cancel_storm, sigterm, terminate
from tests.http_client import fetch
from tests.photographs import EXAMPLE
from tests.servers import serve_command


def test_calls_in_flight_at_sigterm_succeed(tmp_path: Path) -> None:
    with serve_command(tmp_path / "log") as (address, process):
        assert terminate(address, sigterm(process.pid), EXAMPLE.read_bytes()) == []
        assert process.wait(30) == 0


def test_cancelled_calls_do_not_fail_other_calls(tmp_path: Path) -> None:
    image = pb.AnalyzeRequest(image=EXAMPLE.read_bytes())
    with serve_command(tmp_path / "log") as (address, _), grpc.insecure_channel(address) as channel:
        stub = FaceAnalysisServiceStub(channel)
        stub.Analyze(image, timeout=60)
        arguments = (address, EXAMPLE.read_bytes(), 4)
        attackers = [get_context("spawn").Process(target=cancel_storm, args=arguments) for _ in range(2)]
        for attacker in attackers:
            attacker.start()
        answered = 0
        while any(attacker.is_alive() for attacker in attackers):
            assert stub.Analyze(image, timeout=60).faces
            answered += 1
        assert [attacker.exitcode for attacker in attackers] == [0, 0]
    assert answered > 0


@pytest.mark.slow
def test_stalled_uploads_use_little_memory_and_do_not_block_others(tmp_path: Path) -> None:
    """Without the upload gate all of them would be buffered: 456 MB."""
    half, count = 19_000_000, 24
    with (
        serve_command(tmp_path / "log") as (address, process),
        mien.Client(address, timeout=60) as client,
        ExitStack() as stack,
    ):
        client.analyze(EXAMPLE)
        resident = psutil.Process(process.pid).memory_info
        idle = resident().rss
        calls = [stack.enter_context(HalfSentCall(address, ANALYZE.path, 20_000_000)) for _ in range(count)]
        with ThreadPoolExecutor(count) as pool:
            sending = [pool.submit(call.send, half, 1) for call in calls]
            assert client.analyze(EXAMPLE).faces
            for sent in sending:
                sent.result()
            above_idle = resident().rss - idle
    assert sum(call.sent for call in calls) > half, "not even one upload arrived"
    assert above_idle < 300 * 2**20


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_refused_image_is_freed_at_once(single_server: Server, protocol: str) -> None:
    """Reference cycles of exceptions and their tracebacks would keep it until the garbage collector runs."""
    image, count = bytes(4_000_000), 30
    request = pb.AnalyzeRequest(image=image)
    with grpc.insecure_channel(single_server.address) as channel:
        stub = FaceAnalysisServiceStub(channel)

        def refused() -> None:
            if protocol == "http":
                assert fetch(single_server.http_address, "/v1/analyze", image).reason == "IMAGE_UNDECODABLE"
                return
            call = stub.Analyze.future(request, timeout=30)
            assert call.code() is grpc.StatusCode.INVALID_ARGUMENT

        for _ in range(5):
            refused()
        memory = psutil.Process().memory_info
        with no_garbage_collection():
            before = memory().rss
            for _ in range(count):
                refused()
            assert memory().rss - before < count * len(image) / 2
