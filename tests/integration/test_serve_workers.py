"""Tests of the workers behind Serve's handles, in Serve's local testing mode."""

import asyncio
import sys
import time
import warnings
from types import FrameType

import numpy as np
import pytest
from numpy.typing import NDArray

import mien
from mien.worker.v1 import worker_pb2 as pb
from mien_models.registry import Entry, Registry
from mien_models.spec import Task

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Ray's own
    from ray import serve
    from ray.serve.handle import DeploymentHandle, DeploymentResponse

    from mien_orchestrator.cluster.backend import ServeWorkers
    from mien_workers.deployment import ModelChoice, Worker, WorkerOptions

pytestmark = pytest.mark.filterwarnings("ignore")

ENTRY = Registry().for_task("age")
SIZE = ENTRY.spec.crop.size


@pytest.fixture(scope="module")
def handles() -> dict[Task, DeploymentHandle[bytes]]:
    tasks: tuple[Task, ...] = ("age", "gender")
    made: dict[Task, DeploymentHandle[bytes]] = {
        task: serve.run(
            serve.deployment(Worker, name=task).bind(WorkerOptions(task, (), ENTRY.spec.crop, ModelChoice())),
            name=task,
            route_prefix=f"/{task}",
            _local_testing_mode=True,
        )
        for task in tasks
    }
    for handle in made.values():
        handle.reconfigure.remote({}).result()  # which a real replica does before its first request
    return made


class Counted:
    """A real worker's handle that keeps the tasks of each request, in a list that several handles may share."""

    def __init__(self, task: Task, handle: DeploymentHandle[bytes], requests: list[tuple[Task, list[str]]]) -> None:
        self._task, self._handle, self._requests = task, handle, requests

    @property
    def predict(self) -> "Counted":
        return self

    def remote(self, request: bytes) -> DeploymentResponse[bytes]:
        self._requests.append((self._task, list(pb.PredictRequest.FromString(request).tasks)))
        return self._handle.predict.remote(request)


def counted(
    handles: dict[Task, DeploymentHandle[bytes]], entry: Entry
) -> tuple[ServeWorkers, list[tuple[Task, list[str]]]]:
    """Return workers that are believed to run a model, and the requests that they get."""
    requests: list[tuple[Task, list[str]]] = []
    wrapped = {task: Counted(task, handle, requests) for task, handle in handles.items()}
    return ServeWorkers(wrapped, dict.fromkeys(handles, entry)), requests  # type: ignore[arg-type]


def crops(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


async def test_the_least_busy_worker_answers_for_both_tasks(
    handles: dict[Task, DeploymentHandle[bytes]],
) -> None:
    workers, requests = counted(handles, ENTRY)
    first, second = await asyncio.gather(
        *(workers.call(["age", "gender"], crops(3), time.monotonic() + 30) for _ in range(2))
    )
    assert requests[:2] == [("age", ["age", "gender"]), ("gender", ["gender", "age"])]
    assert first.answers.keys() == second.answers.keys() == {"years", "low", "high", "p_male"}
    assert all(np.array_equal(first.answers[name], second.answers[name]) for name in first.answers)


async def test_workers_with_different_models_are_called_separately(
    handles: dict[Task, DeploymentHandle[bytes]],
) -> None:
    together = await ServeWorkers(handles, {"age": ENTRY, "gender": ENTRY}).call(
        ["age", "gender"], crops(2), time.monotonic() + 30
    )
    workers, requests = counted(handles, Registry().get("mien-emotion"))
    for _ in range(2):
        requests.clear()
        apart = await workers.call(["age", "gender"], crops(2), time.monotonic() + 30)
        assert all(np.array_equal(apart.answers[name], together.answers[name]) for name in together.answers)
    assert requests == [("age", ["age"]), ("gender", ["gender"])]


async def test_a_workers_error_keeps_its_class(handles: dict[Task, DeploymentHandle[bytes]]) -> None:
    workers = ServeWorkers(handles, {"age": ENTRY, "gender": ENTRY})
    with pytest.raises(mien.MienError, match="uint8 crops"):
        await workers.call(["age"], np.zeros((1, 9, 9, 3), np.uint8), time.monotonic() + 30)


async def test_crops_are_serialized_once_for_both_tasks(handles: dict[Task, DeploymentHandle[bytes]]) -> None:
    made = []

    def note(frame: FrameType, event: str, arg: object) -> None:
        if event == "call" and frame.f_code.co_qualname == "to_message":
            made.append(frame.f_locals["array"].dtype)

    workers = ServeWorkers(handles, {"age": ENTRY, "gender": ENTRY})
    sys.setprofile(note)
    try:
        await workers.call(["age", "gender"], crops(2), time.monotonic() + 30)
    finally:
        sys.setprofile(None)
    assert made == [np.uint8]


async def test_a_worker_of_another_task_with_the_same_model_replaces_one_that_is_gone(
    handles: dict[Task, DeploymentHandle[bytes]],
) -> None:
    class Gone:
        """A handle whose replica never answers."""

        class predict:  # noqa: N801  # as a deployment handle names its methods
            @staticmethod
            def remote(request: bytes) -> "asyncio.Future[bytes]":
                return asyncio.get_running_loop().create_future()

    workers = ServeWorkers({"age": Gone(), "gender": handles["gender"]}, {"age": ENTRY, "gender": ENTRY})  # type: ignore[dict-item]
    prediction = await asyncio.wait_for(workers.call(["age"], crops(2), time.monotonic() + 30), 20)
    assert {"years", "low", "high"} <= prediction.answers.keys()
