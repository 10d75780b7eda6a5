"""Call the workers through Ray Serve deployment handles."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from mien.errors import InvalidRequestError, MienError, OverloadedError, ServerError, ServerUnavailableError
from mien.worker.v1 import worker_pb2 as pb
from mien_models.registry import Entry
from mien_models.spec import Task
from mien_orchestrator.cluster.hedging import Hedge
from mien_orchestrator.pipeline.backend import Prediction
from mien_orchestrator.pipeline.batching import WORKER_DOWN
from mien_workers.tensors import from_message, to_message

_PAUSE_SECONDS = 0.05
"""Delay before overloaded workers are called again, in seconds."""

_AVOIDED_SECONDS = 2.0
"""Seconds for which other workers are preferred to one that was late or down."""


class ServeWorkers:
    """Calls the workers through deployment handles; messages are serialized.

    If tasks share a model, workers of any of them can answer for all: the least busy ones are called, a late one is
    hedged by another task's, and one that failed is avoided for a while.
    """

    def __init__(
        self,
        handles: Mapping[Task, DeploymentHandle[bytes]],
        models: Mapping[Task, Entry],
        replicas: Callable[[Task], int] = lambda task: 1,
    ) -> None:
        """Create the caller; `replicas` returns how many replicas a task is known to have."""
        self._handles = handles
        self._models = models
        self._replicas = replicas
        self._in_flight: Counter[Task] = Counter()
        self._avoided: dict[Task, float] = {}
        """Tasks whose worker was late or failed, each with the point in time until which others are preferred."""
        self._hedges: dict[tuple[Task, ...], Hedge] = defaultdict(Hedge)
        self._apart: set[Task] = set()
        """Tasks whose workers run different models, and so cannot answer for each other."""

    async def call(self, tasks: Sequence[Task], crops: NDArray[np.uint8], deadline: float) -> Prediction:
        """Call the model of the tasks; see `ModelCall`."""
        if self._apart.isdisjoint(tasks):
            try:
                prediction = await self._hedged(tasks, crops, deadline)
            except InvalidRequestError as error:
                if len(tasks) == 1 or error.reason != "TASK_UNKNOWN":
                    raise
            else:
                if len(tasks) == 1 or prediction.models[tasks[0]].digest == self._models[tasks[0]].digest:
                    return prediction
            self._apart.update(tasks)
        parts = await asyncio.gather(*(self._hedged([task], crops, deadline) for task in tasks))
        slowest = max(parts, key=lambda part: part.queue_ms + part.compute_ms + part.transport_ms)
        answers = {name: values for part in parts for name, values in part.answers.items()}
        models = {task: model for part in parts for task, model in part.models.items()}
        return Prediction(answers, slowest.compute_ms, slowest.queue_ms, slowest.transport_ms, models)

    async def _hedged(self, tasks: Sequence[Task], crops: NDArray[np.uint8], deadline: float) -> Prediction:
        """Call the best worker, and another one if it is late or fails."""
        array = to_message(crops)
        siblings = [task for task in self._siblings(tasks[0]) if task not in tasks]
        first, *others = sorted([*tasks, *siblings], key=lambda task: self._rank(task, tasks))
        spare = others[0] if others else first if self._replicas(first) > 1 else None
        one = partial(self._begin, first, tasks, array, deadline)
        two = partial(self._begin, spare, tasks, array, deadline) if spare else None
        prediction, by_other = await self._hedges[tuple(tasks)].call(one, two)
        if by_other:
            self._avoid(first)
        return prediction

    def _siblings(self, task: Task) -> list[Task]:
        """Return the other tasks whose workers run the same model, and so can answer this task too."""
        digest = self._models[task].digest
        return [
            other
            for other, entry in self._models.items()
            if other != task and entry.digest == digest and not {task, other} & self._apart
        ]

    def _rank(self, task: Task, tasks: Sequence[Task]) -> tuple[bool, bool, int]:
        """Return a key that puts the best worker first: not avoided, of the tasks' own, with the fewest calls."""
        return self._avoided.get(task, 0.0) > time.monotonic(), task not in tasks, self._in_flight[task]

    def _avoid(self, task: Task) -> None:
        self._avoided[task] = time.monotonic() + _AVOIDED_SECONDS

    def _begin(
        self, asked: Task, tasks: Sequence[Task], crops: pb.Array, deadline: float
    ) -> "asyncio.Future[Prediction]":
        """Start a call of one task's worker, and count it at once, for calls in the same event-loop iteration."""
        self._in_flight[asked] += 1
        call = asyncio.ensure_future(self._ask(asked, tasks, crops, deadline))
        call.add_done_callback(lambda _: self._in_flight.subtract([asked]))
        return call

    async def _ask(self, asked: Task, tasks: Sequence[Task], crops: pb.Array, deadline: float) -> Prediction:
        """Call one task's worker; retry once after a pause if it is overloaded."""
        for last in (False, True):
            started = time.perf_counter()
            left = deadline - time.monotonic()
            own_first = [asked, *(task for task in tasks if task != asked)]
            request = pb.PredictRequest(tasks=own_first, crops=crops, timeout_ms=left * 1e3)
            try:
                reply = pb.PredictResponse.FromString(await self._call(asked, request.SerializeToString()))
                return _prediction(tasks, reply, (time.perf_counter() - started) * 1e3)
            except (ActorDiedError, ActorUnavailableError, DeploymentUnavailableError) as error:
                self._avoid(asked)
                raise ServerUnavailableError(
                    f"the {asked} worker is down; it is being restarted", reason=WORKER_DOWN
                ) from error
            except BackPressureError as error:
                if last or left < 2 * _PAUSE_SECONDS:
                    raise OverloadedError(f"the {asked} workers are overloaded; try again later") from error
                await asyncio.sleep(_PAUSE_SECONDS)
            except RayTaskError as error:
                if isinstance(error.cause, MienError):
                    raise error.cause from error
                raise ServerError(f"the {asked} worker failed; its log has the details") from error
        raise AssertionError("the last attempt returns or raises")

    async def _call(self, task: Task, request: bytes) -> bytes:
        response = self._handles[task].predict.remote(request)
        try:
            reply: bytes = await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        return reply


def _prediction(tasks: Sequence[Task], reply: pb.PredictResponse, elapsed_ms: float) -> Prediction:
    answers = {name: from_message(array).astype(np.float32, copy=False) for name, array in reply.answers.items()}
    transport_ms = max(0.0, elapsed_ms - reply.compute_ms - reply.queue_ms)
    return Prediction(answers, reply.compute_ms, reply.queue_ms, transport_ms, dict.fromkeys(tasks, reply.model))
