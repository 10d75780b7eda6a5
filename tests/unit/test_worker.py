"""Tests of the worker: crops in, arrays out."""

import asyncio
import json
import re
import time
from pathlib import Path

import numpy as np
import pytest

import mien
from mien.errors import ModelError, SettingsError
from mien.worker.v1 import worker_pb2 as pb
from mien_models.registry import Registry
from mien_models.runtimes import load
from mien_models.spec import Task
from mien_workers.deployment import ModelChoice, Worker, WorkerOptions
from mien_workers.tensors import from_message, to_message
from mien_workers.worker import TaskWorker


@pytest.fixture(scope="module")
def worker() -> TaskWorker:
    return TaskWorker(load(Registry().for_task("gender"), "gender"))


def test_a_response_contains_the_model(worker: TaskWorker) -> None:
    size = worker.entry.spec.crop.size
    stack = np.random.default_rng(0).integers(0, 255, (3, size, size, 3), np.uint8)
    reply = worker.predict(pb.PredictRequest(tasks=["gender"], crops=to_message(stack)))
    assert from_message(reply.answers["p_male"]).shape == (3,)
    assert (reply.model.name, reply.model.digest) == (worker.entry.spec.name, worker.entry.digest)
    assert reply.compute_ms > 0


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (pb.PredictRequest(crops=to_message(np.zeros((1, 64, 64, 3), np.uint8))), "TASK_UNKNOWN"),
        (pb.PredictRequest(tasks=["age"], crops=to_message(np.zeros((1, 64, 64, 3), np.uint8))), "TASK_UNKNOWN"),
        (pb.PredictRequest(tasks=["gender"], crops=to_message(np.zeros((1, 9, 9, 3), np.uint8))), "CROPS_WRONG"),
        (pb.PredictRequest(tasks=["gender"], crops=to_message(np.zeros((1, 64, 64, 3), np.float32))), "CROPS_WRONG"),
        (pb.PredictRequest(tasks=["gender"]), "ARRAY_WRONG"),
        (pb.PredictRequest(tasks=["gender"], crops=pb.Array(type=1, shape=[2, 2], data=b"abc")), "ARRAY_WRONG"),
    ],
    ids=["none", "task", "size", "type", "nothing", "length"],
)
def test_a_wrong_request_is_refused(worker: TaskWorker, request_: pb.PredictRequest, reason: str) -> None:
    with pytest.raises(mien.InvalidRequestError) as caught:
        worker.predict(request_)
    assert caught.value.reason == reason


@pytest.mark.parametrize("shape", [(0, 4), (3,), (2, 3, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_arrays_are_equal_after_serialization(shape: tuple[int, ...], dtype: type) -> None:
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    back = from_message(pb.Array.FromString(to_message(array).SerializeToString()))
    assert back.dtype == dtype
    assert np.array_equal(back, array)


def test_one_call_answers_all_tasks_of_the_model(worker: TaskWorker) -> None:
    size = worker.entry.spec.crop.size
    crops = to_message(np.full((2, size, size, 3), 99, np.uint8))
    alone = worker.predict(pb.PredictRequest(tasks=["gender"], crops=crops))
    both = worker.predict(pb.PredictRequest(tasks=["gender", "age"], crops=crops))
    assert both.answers.keys() == {"p_male", "years", "low", "high"}
    assert both.answers["p_male"] == alone.answers["p_male"]
    with pytest.raises(mien.InvalidRequestError, match="'emotion'"):
        worker.predict(pb.PredictRequest(tasks=["gender", "emotion"], crops=crops))


def test_a_request_that_waited_longer_than_its_timeout_is_not_computed(worker: TaskWorker) -> None:
    size = worker.entry.spec.crop.size
    crops = to_message(np.zeros((1, size, size, 3), np.uint8))
    request = pb.PredictRequest(tasks=["gender"], crops=crops, timeout_ms=500)
    answered = worker.predict(request, arrived=time.monotonic() - 0.2)
    assert answered.answers
    assert 200 <= answered.queue_ms < 500
    with pytest.raises(mien.DeadlineExceededError):
        worker.predict(request, arrived=time.monotonic() - 1)
    request.timeout_ms = 0
    with pytest.raises(mien.DeadlineExceededError):
        worker.predict(request, arrived=time.monotonic() - 1)
    request.ClearField("timeout_ms")
    assert worker.predict(request, arrived=time.monotonic() - 1).queue_ms >= 1000


def replica(task: Task, *folders: Path) -> Worker:
    return Worker(WorkerOptions(task, folders, Registry().for_task(task).spec.crop, ModelChoice()))


def answer(worker: Worker) -> str:
    """Return the name of the model that answers."""
    size = Registry().get("mien-age-gender").spec.crop.size
    stack = to_message(np.zeros((1, size, size, 3), np.uint8))
    request = pb.PredictRequest(tasks=["gender"], crops=stack).SerializeToString()
    return pb.PredictResponse.FromString(asyncio.run(worker.predict(request))).model.name


def test_a_replica_reloads_another_model(tmp_path: Path) -> None:
    copy_model("mien-age-gender", "next", tmp_path)
    worker = replica("gender", tmp_path)
    asyncio.run(worker.reconfigure({"model": "mien-age-gender"}))
    assert answer(worker) == "mien-age-gender"
    asyncio.run(worker.reconfigure({"model": "next"}))
    assert answer(worker) == "next"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "nose-net"}, "unknown model 'nose-net'"),
        ({"model": "mien-emotion"}, "does not serve task 'gender'"),
        ({"modle": "mien-age-gender"}, "modle: Extra inputs are not permitted"),
    ],
    ids=["unknown", "task", "field"],
)
def test_a_replica_keeps_its_model_if_the_next_cannot_be_loaded(change: dict[str, str], message: str) -> None:
    worker = replica("gender")
    with pytest.raises((ModelError, SettingsError), match=re.escape(message)):
        asyncio.run(worker.reconfigure(change))
    asyncio.run(worker.reconfigure({"model": "mien-age-gender"}))
    asyncio.run(worker.reconfigure(change))
    assert answer(worker) == "mien-age-gender"


def test_a_model_that_takes_other_crops_is_refused() -> None:
    with pytest.raises(ModelError, match="takes other crops than the orchestrators send"):
        asyncio.run(replica("emotion").reconfigure({"model": "mini-xception-emotion"}))


def copy_model(name: str, new: str, folder: Path) -> None:
    """Copy a shipped model into a folder, under another name."""
    entry = Registry().get(name)
    spec = json.loads(entry.path.with_suffix(".json").read_text())
    (folder / f"{new}.json").write_text(json.dumps({**spec, "name": new}))
    assert entry.weights
    (folder / entry.weights.file).write_bytes(entry.read())
