"""Tests that the work of cancelled calls and ended clients is stopped."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import grpc
import pytest

from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceStub
from mien_models.spec import Task
from mien_orchestrator.build import make_executor, make_service
from mien_orchestrator.pipeline.backend import Crops, Outcome
from mien_orchestrator.pipeline.request_context import RequestContext
from mien_orchestrator.settings import Settings
from tests.photographs import EXAMPLE
from tests.servers import Running
from tests.waits import wait_until

CALLS = 20

CALLER = """
import sys, grpc
from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceStub
image = sys.stdin.buffer.read()
with grpc.insecure_channel(sys.argv[1]) as channel:
    calls = [FaceAnalysisServiceStub(channel).Analyze.future(pb.AnalyzeRequest(image=image)) for _ in range(20)]
    calls[0].result()
"""


class Endless:
    """A backend that never answers, and counts who waits."""

    def __init__(self) -> None:
        self.waiting = 0
        self.changed = threading.Condition()

    async def predict(self, crops: Crops, context: RequestContext) -> Mapping[Task, Outcome]:
        self._count(1)
        try:
            await asyncio.Event().wait()
        finally:
            self._count(-1)
        raise AssertionError

    def _count(self, step: int) -> None:
        with self.changed:
            self.waiting += step
            self.changed.notify_all()

    def wait_for(self, count: int) -> bool:
        """Wait until so many wait."""
        with self.changed:
            return self.changed.wait_for(lambda: self.waiting == count, 120)


@contextmanager
def serving(running: Running) -> Iterator[tuple[str, Endless]]:
    settings = Settings.load({"server.port": 0, "server.drain_s": 0})
    with make_executor(settings) as executor:
        backend = Endless()
        service = make_service(settings, backend, executor, pb.DEPLOYMENT_MODE_SINGLE)
        with running(service, settings) as address:
            yield address, backend
            wait_until(lambda: not service.in_flight)  # the tasks are cancelled first, without notification


def test_cancelled_calls_leave_nothing_in_flight(running: Running) -> None:
    with serving(running) as (address, backend), grpc.insecure_channel(address) as channel:
        stub = FaceAnalysisServiceStub(channel)
        calls = [stub.Analyze.future(pb.AnalyzeRequest(image=EXAMPLE.read_bytes())) for _ in range(CALLS)]
        assert backend.wait_for(CALLS)
        for call in calls:
            call.cancel()
        assert backend.wait_for(0)


@pytest.mark.parametrize("ends", ["terminate", "kill"])
def test_a_killed_client_leaves_nothing_in_flight(running: Running, ends: str) -> None:
    with serving(running) as (address, backend):
        with subprocess.Popen([sys.executable, "-c", CALLER, address], stdin=subprocess.PIPE) as caller:
            assert caller.stdin
            caller.stdin.write(EXAMPLE.read_bytes())
            caller.stdin.close()
            assert backend.wait_for(CALLS)
            getattr(caller, ends)()
        assert backend.wait_for(0)


def test_calls_past_their_deadline_leave_nothing_in_flight(running: Running) -> None:
    with serving(running) as (address, backend), grpc.insecure_channel(address) as channel:
        stub = FaceAnalysisServiceStub(channel)
        calls = [stub.Analyze.future(pb.AnalyzeRequest(image=EXAMPLE.read_bytes()), timeout=5) for _ in range(CALLS)]
        for call in calls:
            assert call.exception() or {task.status.code for task in call.result().tasks} == {4}
        assert backend.wait_for(0)
