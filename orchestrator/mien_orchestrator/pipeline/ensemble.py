"""The request's way: bytes, decoded image, faces, crops, one call a task, one merged reply.

Pure asyncio: knows neither gRPC nor Ray. What is heavy leaves the event loop; OpenCV and ONNX Runtime release the GIL.
"""

import asyncio
import logging
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor

import numpy as np
from google.rpc import code_pb2

from mien.errors import DeadlineExceededError, ImageError, InvalidRequestError, MienError, ServerError, from_status
from mien.v1 import face_pb2
from mien.v1 import face_service_pb2 as pb
from mien_models.decode import ImageError as UnreadableImage
from mien_models.registry import Entry
from mien_models.spec import Task
from mien_orchestrator.pipeline.backend import Backend, Prediction
from mien_orchestrator.pipeline.face_stage import Seen, Sight
from mien_orchestrator.pipeline.response import Outcome, merge
from mien_orchestrator.pipeline.timing import Stopwatch, consecutive
from mien_workers.model_info import model_info

_LOG = logging.getLogger(__name__)

_LONGEST_NAME = 80
"""Characters of an unknown task's name that its refusal repeats."""


class Ensemble:
    """Analyzes photographs with one detector and one model a task."""

    def __init__(
        self,
        *,
        sight: Sight,
        backend: Backend,
        models: Mapping[Task, Entry],
        executor: Executor,
        margin: float,
    ) -> None:
        """Keep `margin` seconds back from each caller's time, so that a reply without late tasks is still in time."""
        self.models = models
        self.detector = sight.detector
        self._described = {task: model_info(entry) for task, entry in models.items()}
        self._sight = sight
        self._backend = backend
        self._executor = executor
        self._margin = margin

    async def analyze(self, request: pb.AnalyzeRequest, budget: float) -> pb.AnalyzeResponse:
        """Analyze one image within `budget` seconds; a failed or late task becomes a status in the reply.

        Raises `MienError`: `InvalidRequestError` for a bad image, task or option, `DeadlineExceededError` where not
        even the faces were found in time, and a failed task's own error under FAILURE_POLICY_ALL_OR_NOTHING.
        """
        watch = Stopwatch()
        steps: list[face_pb2.Span] = []
        tasks = self._tasks(request.tasks)
        deadline = asyncio.get_running_loop().time() + budget - self._margin
        seen = await self._see(request, tasks, deadline, watch, steps)
        outcomes: list[Outcome] = []
        if len(seen.quality.answerable):
            with watch.step("tasks", steps) as span:
                outcomes = await asyncio.gather(*(self._run(task, seen, deadline, watch) for task in tasks))
                span.children.extend(outcome.span for outcome in outcomes if outcome.span)
        else:
            outcomes = [Outcome(task, code_pb2.OK) for task in tasks]
        if request.failure_policy == pb.FAILURE_POLICY_ALL_OR_NOTHING:
            _raise_first_failure(outcomes)
        return merge(seen, outcomes, self._described, self.detector.name, watch, steps)

    def _tasks(self, names: Sequence[str]) -> list[Task]:
        """Return the tasks asked for, each once, in the order asked for."""
        unknown = [name for name in names if name not in self.models]
        if unknown:
            served = ", ".join(self.models)
            said = unknown[0][:_LONGEST_NAME]
            raise InvalidRequestError(f"unknown task {said!r}; this server has: {served}", reason="TASK_UNKNOWN")
        return [task for task in dict.fromkeys(names or self.models) if task in self.models]  # type: ignore[misc]

    async def _see(
        self,
        request: pb.AnalyzeRequest,
        tasks: Sequence[Task],
        deadline: float,
        watch: Stopwatch,
        steps: list[face_pb2.Span],
    ) -> Seen:
        specs = {self.models[task].spec.crop for task in tasks}
        queued = watch.now_ms()
        gone = threading.Event()

        def see() -> Seen:
            steps.extend(consecutive(queued, [("queue", watch.now_ms() - queued)]))
            return self._sight.see(request.image, specs, request.max_faces, gone, watch, steps)

        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.get_running_loop().run_in_executor(self._executor, see)
        except UnreadableImage as error:
            raise ImageError(str(error), reason=error.reason) from error
        except TimeoutError as error:
            raise DeadlineExceededError(
                "the faces were not found in time; send a smaller image or wait longer"
            ) from error
        finally:
            gone.set()

    async def _run(self, task: Task, seen: Seen, deadline: float, watch: Stopwatch) -> Outcome:
        """Run one task; whatever goes wrong is its outcome, never an exception."""
        start = watch.now_ms()
        try:
            async with asyncio.timeout_at(deadline):
                crops = seen.crops[self.models[task].spec.crop]
                budget = deadline - asyncio.get_running_loop().time()
                prediction = await self._backend.predict(task, crops, budget)
            _check(task, prediction, len(crops))
        except TimeoutError:
            return _failed(task, DeadlineExceededError(f"task {task} gave no answer in time"), start, watch)
        except MienError as error:
            return _failed(task, error, start, watch)
        except Exception:
            _LOG.exception("task %s failed", task)
            return _failed(task, ServerError(f"task {task} failed; the server's log says why"), start, watch)
        span = face_pb2.Span(name=task, start_ms=start, elapsed_ms=watch.now_ms() - start)
        parts = [
            ("queue", prediction.queue_ms),
            ("compute", prediction.compute_ms),
            ("transport", prediction.transport_ms),
        ]
        span.children.extend(consecutive(start, parts))
        return Outcome(task, code_pb2.OK, prediction=prediction, span=span)


def _check(task: Task, prediction: Prediction, count: int) -> None:
    """Refuse answers that are not one finite row a face: they would be merged into the wrong face, or as nonsense."""
    for name, values in prediction.answers.items():
        if len(values) != count or not np.isfinite(values).all():
            raise ServerError(f"task {task}: the model's {name!r} is not one finite answer for each of {count} faces")


def _failed(task: Task, error: MienError, start_ms: float, watch: Stopwatch) -> Outcome:
    span = face_pb2.Span(name=task, start_ms=start_ms, elapsed_ms=watch.now_ms() - start_ms)
    return Outcome(task, error.code, message=error.message, span=span)


def _raise_first_failure(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.code != code_pb2.OK:
            raise from_status(outcome.code, outcome.message)
