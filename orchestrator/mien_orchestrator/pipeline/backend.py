"""The interface between the pipeline and the models: takes the crops of a request, returns an outcome per task."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien.errors import DeadlineExceededError, MienError
from mien.v1.face_pb2 import ModelInfo
from mien_models.runtimes import Model
from mien_models.spec import Task
from mien_orchestrator.pipeline.request_context import RequestContext


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answers of one model call, or of one request's part of it."""

    answers: Mapping[str, NDArray[np.float32]]
    """Arrays by name, first axis N; see `mien_models.registry.ANSWERS`."""
    compute_ms: float
    """Time inside the model."""
    queue_ms: float
    """Time waiting for the model: for its batch, for a thread, in a worker's queue."""
    transport_ms: float
    """Time in transit, in both directions."""
    models: Mapping[Task, ModelInfo] = field(default_factory=dict)
    """The model that answered each task, if it can differ from the configured one: workers reload while they serve."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one task of a request: a prediction or an error."""

    start_ms: float
    """Start of the task, in milliseconds from the request's arrival."""
    elapsed_ms: float
    prediction: Prediction | None = None
    """One answer per crop, in the order of the crops; None if the task failed."""
    error: MienError | None = None


Crops: TypeAlias = Mapping[Task, NDArray[np.uint8]]
"""(N, S, S, 3) uint8 RGB crops for each task, the same faces in the same order."""


class Backend(Protocol):
    """Runs the models."""

    async def predict(self, crops: Crops, context: RequestContext) -> Mapping[Task, Outcome]:
        """Answer all tasks of one request before its deadline.

        A failed or late task is an outcome, never an exception, and never delays the others beyond the deadline.
        """


ModelCall: TypeAlias = "Callable[[Sequence[Task], NDArray[np.uint8], float], Awaitable[Prediction]]"
"""Runs one model on (N, S, S, 3) crops for some of its tasks, before a deadline on the clock of `time.monotonic`.

The prediction has the answers of all these tasks. Raises `MienError`.
"""


LOW_PRIORITY: ContextVar[bool] = ContextVar("mien_low_priority", default=False)
"""Whether a model call is only for callers that have other work in progress."""


class InlineModels:
    """Models in this process, run by a bounded pool of threads: ONNX Runtime and PyTorch release the GIL."""

    def __init__(self, models: Mapping[Task, Model], executor: Executor, low: Executor | None = None) -> None:
        """Create it; `low` runs the calls of low priority, None runs them as all others."""
        self._models = models
        self._executor = executor
        self._low = low or executor

    async def call(self, tasks: Sequence[Task], crops: NDArray[np.uint8], deadline: float) -> Prediction:
        """Run the model of the tasks; see `ModelCall`. Only a call that still waits for a thread can be cancelled.

        Raises:
            DeadlineExceededError: No thread was free before the deadline.

        """
        queued = time.perf_counter()

        def compute() -> Prediction:
            if time.monotonic() > deadline:
                raise DeadlineExceededError(
                    "no thread was free in time; raise the timeout or send fewer requests concurrently"
                )
            started = time.perf_counter()
            answers = self._models[tasks[0]].predict(crops, tasks)
            ended = time.perf_counter()
            return Prediction(answers, (ended - started) * 1e3, (started - queued) * 1e3, 0.0)

        return await asyncio.get_running_loop().run_in_executor(
            self._low if LOW_PRIORITY.get() else self._executor, compute
        )
