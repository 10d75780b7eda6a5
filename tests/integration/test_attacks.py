"""Tests that abusive clients do not affect others: cancelled calls, stalled uploads; and SIGTERM."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context

import grpc
import psutil
import pytest

import mien
from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceStub
from tests.half_sent import HalfSentCall
from tests.photographs import EXAMPLE

ANALYZE = "/mien.v1.FaceAnalysisService/Analyze"
CALLERS = 100


@contextmanager
def served(*options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run `mien serve --inline` in a process of its own; yields its address and the process."""
    command = [sys.executable, "-c", "from mien_orchestrator.commands.entry_point import main; main()"]
    command += ["serve", "--inline", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield process.stdout.readline().rpartition(" ")[2].strip(), process
    finally:
        process.terminate()
        process.wait(30)
        assert process.stdout
        process.stdout.close()


def test_calls_in_flight_at_sigterm_succeed() -> None:
    image = EXAMPLE.read_bytes()
    with served() as (address, process), ThreadPoolExecutor(CALLERS) as pool:
        with grpc.insecure_channel(address) as channel:
            stub = FaceAnalysisServiceStub(channel)
            calls = [stub.Analyze.future(pb.AnalyzeRequest(image=image), timeout=60) for _ in range(CALLERS)]
            calls[0].result()
            process.send_signal(signal.SIGTERM)
            failed = [error for error in pool.map(lambda call: call.exception(), calls) if error]
        assert process.wait(30) == 0
    assert failed == []


def storm(address: str, seconds: float) -> None:
    """Begin calls and cancel them at once, 300 at a time on one connection."""
    image, ends = EXAMPLE.read_bytes(), time.monotonic() + seconds
    with grpc.insecure_channel(address) as channel:
        stub = FaceAnalysisServiceStub(channel)
        while time.monotonic() < ends:
            calls = [stub.Analyze.future(pb.AnalyzeRequest(image=image)) for _ in range(300)]
            for call in calls:
                call.cancel()


def test_cancelled_calls_do_not_fail_other_calls() -> None:
    image = pb.AnalyzeRequest(image=EXAMPLE.read_bytes())
    with served() as (address, _), grpc.insecure_channel(address) as channel:
        stub = FaceAnalysisServiceStub(channel)
        stub.Analyze(image, timeout=60)
        attackers = [get_context("spawn").Process(target=storm, args=(address, 4)) for _ in range(2)]
        for attacker in attackers:
            attacker.start()
        answered = 0
        while any(attacker.is_alive() for attacker in attackers):
            assert stub.Analyze(image, timeout=60).faces
            answered += 1
        assert [attacker.exitcode for attacker in attackers] == [0, 0]
    assert answered > 0


@pytest.mark.slow
def test_stalled_uploads_use_little_memory_and_do_not_block_others() -> None:
    """Without the upload gate all of them would be buffered: 456 MB."""
    half, count = 19_000_000, 24
    with served() as (address, process), mien.Client(address, timeout=60) as client, ExitStack() as stack:
        client.analyze(EXAMPLE)
        resident = psutil.Process(process.pid).memory_info
        idle = resident().rss
        calls = [stack.enter_context(HalfSentCall(address, ANALYZE, 20_000_000)) for _ in range(count)]
        with ThreadPoolExecutor(count) as pool:
            sending = [pool.submit(call.send, half, 1) for call in calls]
            assert client.analyze(EXAMPLE).faces
            for sent in sending:
                sent.result()
            above_idle = resident().rss - idle
    assert sum(call.sent for call in calls) > half, "not even one upload arrived"
    assert above_idle < 300 * 2**20
