"""Tests of concurrency: parallel tasks, a responsive event loop, one thread per model."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mien.v1 import face_pb2
from mien.v1 import face_service_pb2 as pb
from mien_models.registry import TASKS, Registry
from mien_models.runtimes import load
from mien_models.spec import Task
from mien_orchestrator.build import make_executor, make_inline_service, make_service
from mien_orchestrator.pipeline.backend import ModelCall, Prediction
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.settings import Settings
from tests.backends import fanout, within
from tests.photographs import EXAMPLE, encoded

SETTINGS = Settings.load({"limits.cpu_threads": 2})


@pytest.fixture(scope="module")
def service() -> Iterator[FaceAnalysis]:
    with make_executor(SETTINGS) as seeing, make_executor(SETTINGS) as computing:
        yield make_inline_service(SETTINGS, seeing, computing, pb.DEPLOYMENT_MODE_EMBEDDED)


async def test_tasks_run_in_parallel() -> None:
    """No model answers before all of them were called."""
    together = asyncio.Barrier(len({Registry().for_task(task).spec.name for task in TASKS}))

    def wrap(inner: ModelCall) -> ModelCall:
        async def call(tasks: Sequence[Task], crops: NDArray[np.uint8], deadline: float) -> Prediction:
            await together.wait()
            return await inner(tasks, crops, deadline)

        return call

    with make_executor(SETTINGS) as seeing, make_executor(SETTINGS) as computing:
        service = make_service(SETTINGS, fanout(SETTINGS, computing, wrap), seeing, pb.DEPLOYMENT_MODE_EMBEDDED)
        reply = await service.analyze(request(EXAMPLE.read_bytes()), within(30))
    assert [task.status.code for task in reply.tasks] == [0, 0, 0]


async def test_the_fan_out_takes_less_than_the_sum_of_its_tasks(service: FaceAnalysis) -> None:
    total = (await service.analyze(request(EXAMPLE.read_bytes()), within(30))).timing.total
    fan_out = next(step for step in total.children if step.name == "tasks")
    times = [task.elapsed_ms for task in fan_out.children]
    assert len(times) == 3
    assert max(times) <= fan_out.elapsed_ms <= total.elapsed_ms
    assert fan_out.elapsed_ms < sum(times)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
async def test_the_event_loop_is_not_blocked_by_decoding_and_detection(service: FaceAnalysis, kind: str) -> None:
    """Count iterations of the event loop within the steps of the response's timing tree."""
    large = Image.open(EXAMPLE).resize((3000, 3000), Image.Resampling.LANCZOS)
    data = encoded(large, kind)
    turns: list[float] = []

    async def turn() -> None:
        while True:
            turns.append(time.perf_counter())
            await asyncio.sleep(0.001)

    turning = asyncio.create_task(turn())
    began = time.perf_counter()
    reply = await service.analyze(request(data), within(60))
    turning.cancel()
    steps = {step.name: step for step in reply.timing.total.children}
    for name in ("decode", "detect"):
        assert turns_within(turns, began, steps[name]) >= 3, (name, steps[name].elapsed_ms)


def turns_within(turns: Sequence[float], began: float, step: face_pb2.Span) -> int:
    """Count the turns that began within a step."""
    first, last = (began + ms / 1e3 for ms in (step.start_ms, step.start_ms + step.elapsed_ms))
    return sum(first <= turn <= last for turn in turns)


@pytest.mark.parametrize("name", sorted({entry.spec.name for entry in Registry().entries()}))
def test_a_model_runs_only_on_the_calling_thread(name: str) -> None:
    entry = Registry().get(name)
    before = threads()
    model = load(entry, next(iter(entry.spec.heads)))
    size = entry.spec.crop.size
    model.predict(np.zeros((8, size, size, 3), np.uint8))
    assert threads() == before


def threads() -> int:
    """Return the number of this process's threads, those of C libraries included."""
    return len(list(Path("/proc/self/task").iterdir()))


def test_a_loaded_model_is_warmed_up() -> None:
    entry = Registry().for_task("emotion")
    with noting_calls() as called:
        load(entry, "emotion")
    assert "OnnxModel.predict" in called


async def test_shared_parts_of_responses_are_built_once(service: FaceAnalysis) -> None:
    with noting_calls() as called:
        reply = await service.analyze(request(EXAMPLE.read_bytes()), within(30))
    assert all(task.model.digest for task in reply.tasks)
    assert called["merge"] == 1
    assert called["model_info"] == 0
    assert called["SerializeToString"] == called["FromString"] == 0  # which is gRPC's to do


@contextmanager
def noting_calls() -> Iterator[Counter[str]]:
    """Count what this thread calls, by name."""
    called = Counter[str]()

    def note(frame: FrameType, event: str, arg: object) -> None:
        if event == "call":
            called[frame.f_code.co_qualname] += 1
        elif event == "c_call":
            called[getattr(arg, "__name__", "")] += 1

    sys.setprofile(note)
    try:
        yield called
    finally:
        sys.setprofile(None)


def request(image: bytes) -> pb.AnalyzeRequest:
    return pb.AnalyzeRequest(image=image)
