"""Call the workers through Ray Serve deployment handles."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from mien.errors import InvalidRequestError, MienError, OverloadedError, ServerError, ServerUnavailableError
from mien.worker.v1 import worker_pb2 as pb
from mien_models.registry import Entry
from mien_models.spec import Task
from mien_orchestrator.pipeline.backend import Prediction
from mien_workers.tensors import from_message, to_message

_PAUSE_SECONDS = 0.05
"""Delay before overloaded workers are called again, in seconds."""


class ServeWorkers:
    """Calls the workers through deployment handles; messages are serialized.

    If tasks share a model, workers of any of them can answer for all: the least busy ones are called.
    """

    def __init__(self, handles: Mapping[Task, DeploymentHandle[bytes]], models: Mapping[Task, Entry]) -> None:
        self._handles = handles
        self._models = models
        self._in_flight: Counter[Task] = Counter()
        self._apart: set[Task] = set()
        """Tasks whose workers have a model of their own by now, and answer for nobody else."""

    async def call(self, tasks: Sequence[Task], crops: NDArray[np.uint8], deadline: float) -> Prediction:
        """Call the model of the tasks; see `ModelCall`."""
        if self._apart.isdisjoint(tasks):
            try:
                prediction = await self._ask(tasks, crops, deadline)
            except InvalidRequestError as error:
                if len(tasks) == 1 or error.reason != "TASK_UNKNOWN":
                    raise
            else:
                if len(tasks) == 1 or prediction.models[tasks[0]].digest == self._models[tasks[0]].digest:
                    return prediction
            self._apart.update(tasks)
        parts = await asyncio.gather(*(self._ask([task], crops, deadline) for task in tasks))
        slowest = max(parts, key=lambda part: part.queue_ms + part.compute_ms + part.transport_ms)
        answers = {name: values for part in parts for name, values in part.answers.items()}
        models = {task: model for part in parts for task, model in part.models.items()}
        return Prediction(answers, slowest.compute_ms, slowest.queue_ms, slowest.transport_ms, models)

    async def _ask(self, tasks: Sequence[Task], crops: NDArray[np.uint8], deadline: float) -> Prediction:
        """Ask once, and once more where nothing came back: inference changes nothing, so it can be repeated."""
        started = time.perf_counter()
        stack = to_message(crops)
        last: Task | None = None
        while True:
            again = last is not None
            last = asked = min(tasks, key=lambda task: (task == last, self._in_flight[task]))
            left = deadline - time.monotonic()
            request = pb.PredictRequest(
                tasks=sorted(tasks, key=lambda task: task != asked),
                crops=stack,
                timeout_ms=left * 1e3,
            )
            try:
                reply = pb.PredictResponse.FromString(await self._call(asked, request.SerializeToString()))
                return _prediction(tasks, reply, (time.perf_counter() - started) * 1e3)
            except (ActorDiedError, ActorUnavailableError, DeploymentUnavailableError) as error:
                if again:
                    raise ServerUnavailableError(f"the {asked} worker is down; it is being restarted") from error
            except BackPressureError as error:
                if again or left < _PAUSE_SECONDS:
                    raise OverloadedError(f"the {asked} workers have too much to do; try again later") from error
                await asyncio.sleep(_PAUSE_SECONDS)
            except RayTaskError as error:
                if isinstance(error.cause, MienError):
                    raise error.cause from error
                raise ServerError(f"the {asked} worker failed; its log says why") from error

    async def _call(self, task: Task, request: bytes) -> bytes:
        response = self._handles[task].predict.remote(request)
        self._in_flight[task] += 1
        try:
            reply: bytes = await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        finally:
            self._in_flight[task] -= 1
        return reply


def _prediction(tasks: Sequence[Task], reply: pb.PredictResponse, elapsed_ms: float) -> Prediction:
    answers = {name: from_message(array).astype(np.float32, copy=False) for name, array in reply.answers.items()}
    transport_ms = max(0.0, elapsed_ms - reply.compute_ms - reply.queue_ms)
    return Prediction(answers, reply.compute_ms, reply.queue_ms, transport_ms, dict.fromkeys(tasks, reply.model))
