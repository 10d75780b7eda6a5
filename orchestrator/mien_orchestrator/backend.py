"""The seam between the orchestrator and the models: crops in, predictions out."""

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mien.v1.face_pb2 import ModelInfo
from mien_models.runtime import Model
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
    model: ModelInfo | None = None
    """The model that answered, where it may be another than the settings name: a worker's changes while it serves."""


class Backend(Protocol):
    """Where the models run."""

    async def predict(self, task: Task, crops: NDArray[np.uint8], budget: float) -> Prediction:
        """Answer one task for (N, S, S, 3) uint8 RGB crops within `budget` seconds.

        Raises `mien.MienError`, whose code becomes the task's status.
        """


class InlineBackend:
    """Models in this process, run by a bounded pool of threads: ONNX Runtime and PyTorch release the GIL."""

    def __init__(self, models: Mapping[Task, Model], executor: Executor) -> None:
        self._models = models
        self._executor = executor

    async def predict(self, task: Task, crops: NDArray[np.uint8], budget: float) -> Prediction:
        """Answer one task; see `Backend`. A call that began is finished, since a model cannot be interrupted."""
        queued = time.perf_counter()

        def compute() -> Prediction:
            started = time.perf_counter()
            answers = self._models[task].predict(crops)
            ended = time.perf_counter()
            return Prediction(answers, (ended - started) * 1e3, (started - queued) * 1e3, 0.0)

        return await asyncio.get_running_loop().run_in_executor(self._executor, compute)
