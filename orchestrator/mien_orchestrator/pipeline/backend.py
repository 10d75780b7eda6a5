"""The seam between the orchestrator and the models: crops in, predictions out; and what is called behind it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien.errors import DeadlineExceededError
from mien.v1.face_pb2 import ModelInfo
from mien_models.runtimes import Model
from mien_models.spec import Task


@dataclass(frozen=True, slots=True)
class Prediction:
    """A task's answers for a stack of crops."""

    answers: Mapping[str, NDArray[np.float32]]
    """By name, first axis N; see `mien_models.registry.ANSWERS`."""
    compute_ms: float
    """Time inside the model."""
    queue_ms: float
    """Time waiting for the model."""
    transport_ms: float
    """Time on the way there and back."""
    models: Mapping[Task, ModelInfo] = field(default_factory=dict)
    """The model that answered each task, where it may not be the settings': a worker's changes while it serves."""


class Backend(Protocol):
    """Where the models run."""

    async def predict(self, task: Task, crops: NDArray[np.uint8], budget: float) -> Prediction:
        """Answer one task for (N, S, S, 3) uint8 RGB crops within `budget` seconds.

        Raises `mien.MienError`, whose code becomes the task's status.
        """


Call: TypeAlias = "Callable[[Sequence[Task], NDArray[np.uint8], float], Awaitable[Prediction]]"
"""Calls one model for some of its tasks, within so many seconds; the prediction has the answers of all of them."""


class InlineModels:
    """Models in this process, run by a bounded pool of threads: ONNX Runtime and PyTorch release the GIL."""

    def __init__(self, models: Mapping[Task, Model], executor: Executor) -> None:
        self._models = models
        self._executor = executor

    async def call(self, tasks: Sequence[Task], crops: NDArray[np.uint8], budget: float) -> Prediction:
        """Call the model of the tasks; see `Call`. One that waits for a thread can be cancelled, a running one not."""
        queued = time.perf_counter()

        def compute() -> Prediction:
            started = time.perf_counter()
            if started - queued > budget:
                raise DeadlineExceededError("no thread was free in time; wait longer or send less at once")
            answers = self._models[tasks[0]].predict(crops, tasks)
            ended = time.perf_counter()
            return Prediction(answers, (ended - started) * 1e3, (started - queued) * 1e3, 0.0)

        return await asyncio.get_running_loop().run_in_executor(self._executor, compute)
