"""Tests of a task that fails repeatedly: status, health, and no delay of other requests."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import grpc
import numpy as np
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from numpy.typing import NDArray
from PIL import Image

import mien
from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceStub
from mien_models.spec import Task
from mien_orchestrator.build import make_executor, make_inline_backend, make_service
from mien_orchestrator.pipeline.backend import InlineModels, Prediction
from mien_orchestrator.pipeline.task_health import TaskHealth
from mien_orchestrator.settings import Settings
from tests.backends import fanout_over, inline_models, within
from tests.photographs import EXAMPLE, distinct, encoded
from tests.servers import Running


class Emotionless:
    """Real models, of which the emotion one can be switched off."""

    def __init__(self, models: InlineModels) -> None:
        self._models = models
        self.down = threading.Event()
        self.calls = 0

    async def call(self, tasks: Sequence[Task], crops: NDArray[np.uint8], deadline: float) -> Prediction:
        if "emotion" in tasks:
            self.calls += 1
            if self.down.is_set():
                raise mien.ServerUnavailableError("the emotion worker is down")
        return await self._models.call(tasks, crops, deadline)


@contextmanager
def serving(running: Running, settings: Settings) -> Iterator[tuple[str, Emotionless]]:
    with make_executor(settings) as executor:
        emotionless, health = Emotionless(inline_models(settings, executor)), TaskHealth()
        backend = fanout_over(settings, emotionless.call, health)
        with running(make_service(settings, backend, executor, pb.DEPLOYMENT_MODE_SINGLE, health), settings) as address:
            yield address, emotionless


def health_of(address: str, task: str) -> bool:
    with grpc.insecure_channel(address) as channel:
        reply = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=task), timeout=10)
    return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)


def test_the_circuit_breaker_opens_reports_and_closes(running: Running) -> None:
    settings = Settings.load(
        {
            "server.port": 0,
            "server.drain_s": 0,
            "breaker.failures": 3,
            "breaker.cooldown_s": 4,
            "detector.long_side_px": 160,
        }
    )
    with serving(running, settings) as (address, emotionless), mien.Client(address) as client:
        emotionless.down.set()
        for _ in range(6):
            tasks = {task.task: task for task in client.analyze(EXAMPLE).tasks}
            assert (tasks["age"].code, tasks["gender"].code, tasks["emotion"].code) == ("OK", "OK", "UNAVAILABLE")
        assert emotionless.calls < 6
        assert "failed 3 times in a row; next attempt in" in tasks["emotion"].message
        assert (health_of(address, "emotion"), health_of(address, "age"), health_of(address, "")) == (False, True, True)
        emotionless.down.clear()
        deadline = time.monotonic() + 20
        while not all(task.ok for task in client.analyze(EXAMPLE).tasks):
            assert time.monotonic() < deadline
        assert health_of(address, "emotion")


def test_too_many_images_are_rejected_with_a_retry_delay(running: Running) -> None:
    settings = Settings.load({"server.port": 0, "server.drain_s": 0, "limits.max_concurrent_bytes": 1000})
    image = EXAMPLE.read_bytes()
    with serving(running, settings) as (address, _), grpc.insecure_channel(address) as channel:
        stub = FaceAnalysisServiceStub(channel)
        calls = [stub.Analyze.future(pb.AnalyzeRequest(image=image), timeout=30) for _ in range(6)]
        refused = [call.exception() for call in calls if call.exception() is not None]
        assert len(refused) < len(calls)
    for error in refused:
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        status = rpc_status.from_call(error)
        info, advice = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        assert status.details[0].Unpack(info)
        assert status.details[1].Unpack(advice)
        assert info.reason == "SERVER_BUSY"
        assert 0.1 <= advice.retry_delay.ToTimedelta().total_seconds() <= 5
    assert refused


def test_cancelled_calls_do_not_disturb_others(running: Running) -> None:
    settings = Settings.load({"server.port": 0, "server.drain_s": 0})
    with serving(running, settings) as (address, _), mien.Client(address) as client:
        with grpc.insecure_channel(address) as channel:
            stub = FaceAnalysisServiceStub(channel)
            calls = [stub.Analyze.future(pb.AnalyzeRequest(image=EXAMPLE.read_bytes())) for _ in range(30)]
            for call in calls[::2]:
                call.cancel()
            assert all(call.result(60).faces for call in calls[1::2])
        assert all(task.ok for task in client.analyze(EXAMPLE, timeout=60).tasks)


def test_a_task_without_workers_is_not_serving(running: Running) -> None:
    settings = Settings.load({"server.port": 0, "server.drain_s": 0})
    health = TaskHealth()
    health.mark(["emotion"], "starting", True)
    with make_executor(settings) as executor:
        service = make_service(
            settings, make_inline_backend(settings, executor), executor, pb.DEPLOYMENT_MODE_SINGLE, health
        )
        with running(service, settings) as address, grpc.insecure_channel(address) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="emotion"))
            assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
            assert health_of(address, "age")


class FailsWithoutBlue:
    """Real models that fail on calls with a crop without blue."""

    def __init__(self, models: InlineModels) -> None:
        self._models = models
        self.gathered = 0

    async def call(self, tasks: Sequence[Task], crops: NDArray[np.uint8], deadline: float) -> Prediction:
        self.gathered = max(self.gathered, len(crops))
        if (crops[..., 2].max(axis=(1, 2)) == 0).any():
            raise ZeroDivisionError("failing input")
        return await self._models.call(tasks, crops, deadline)


async def test_a_face_that_fails_the_model_fails_only_its_own_request() -> None:
    settings = Settings.load({"breaker.failures": 1000})
    images = distinct(24)
    with Image.open(EXAMPLE) as file:
        red, green, blue = file.convert("RGB").split()
    images[7] = encoded(Image.merge("RGB", (red, green, blue.point(lambda value: 0))), "PNG")
    with make_executor(settings) as seeing, make_executor(settings) as computing:
        failing = FailsWithoutBlue(inline_models(settings, computing))
        backend = fanout_over(settings, failing.call, slots=1)
        service = make_service(settings, backend, seeing, pb.DEPLOYMENT_MODE_SINGLE)
        calls = [service.analyze(pb.AnalyzeRequest(image=image), within(60)) for image in images]
        replies = await asyncio.gather(*calls)
    assert failing.gathered > 1
    failed = [place for place, reply in enumerate(replies) if any(task.status.code for task in reply.tasks)]
    assert failed == [7]
