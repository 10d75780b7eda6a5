"""The fan-out: run all tasks of a request in parallel. This is the pipeline's `Backend`."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mien.errors import DeadlineExceededError, MienError, ServerError
from mien_models.registry import ANSWERS, Entry
from mien_models.spec import Task
from mien_orchestrator.pipeline.backend import Crops, ModelCall, Outcome, Prediction
from mien_orchestrator.pipeline.batching import Batcher
from mien_orchestrator.pipeline.call_limit import CallLimit
from mien_orchestrator.pipeline.circuit_breaker import CircuitBreaker
from mien_orchestrator.pipeline.request_context import RequestContext
from mien_orchestrator.pipeline.task_health import TaskHealth
from mien_orchestrator.settings import Settings, TaskSettings

_LOG = logging.getLogger(__name__)

Slots = Callable[[Sequence[Task]], int]
"""Returns how many calls for these tasks, which share a model, may run at once."""


class Fanout:
    """Sends each task to the batcher of its model; tasks that share a model share one call."""

    def __init__(
        self,
        models: Mapping[Task, Entry],
        settings: Settings,
        call: ModelCall,
        slots: Slots,
        health: TaskHealth,
        *,
        limited: bool = False,
    ) -> None:
        """Create one batcher per model.

        Args:
            models: The model of each task.
            settings: Settings of the tasks and of the circuit breakers.
            call: Runs a model.
            slots: How many calls may run at once.
            health: Is kept current with the models that fail.
            limited: Whether a call has a time limit, after which its worker counts as hung.

        """
        self._batchers: dict[Task, Batcher] = {}
        for tasks in shared(models, settings.served):
            breaker = CircuitBreaker(
                " and ".join(tasks),
                failures=settings.breaker.failures,
                cooldown_s=settings.breaker.cooldown_s,
                on_change=partial(health.mark, tasks, "failing"),
            )
            best_batch = models[tasks[0]].spec.best_batch
            limit = CallLimit(settings.served[tasks[0]].timeout_s) if limited else None
            batcher = Batcher(call, best_batch=best_batch, slots=partial(slots, tasks), breaker=breaker, limit=limit)
            self._batchers |= dict.fromkeys(tasks, batcher)

    async def predict(self, crops: Crops, context: RequestContext) -> Mapping[Task, Outcome]:
        """Answer all tasks of a request; see `Backend`."""
        groups: dict[Batcher, list[Task]] = {}
        for task in crops:
            groups.setdefault(self._batchers[task], []).append(task)
        outcomes = await asyncio.gather(
            *(self._run(batcher, tasks, crops[tasks[0]], context) for batcher, tasks in groups.items())
        )
        merged = {task: outcome for group in outcomes for task, outcome in group.items()}
        return {task: merged[task] for task in crops}

    async def _run(
        self, batcher: Batcher, tasks: Sequence[Task], crops: NDArray[np.uint8], context: RequestContext
    ) -> dict[Task, Outcome]:
        """Run the tasks of one model; an error becomes the outcome of each of them."""
        start = context.spans.now_ms()

        def outcome(prediction: Prediction | None = None, error: MienError | None = None) -> Outcome:
            return Outcome(start, context.spans.now_ms() - start, prediction, error)

        names = " and ".join(tasks)
        try:
            async with asyncio.timeout_at(context.deadline):
                prediction = await batcher.predict(tasks, crops, context.deadline, context.caller)
        except TimeoutError:
            error: MienError = DeadlineExceededError(f"no answer for {names} before the deadline")
        except MienError as failure:
            error = failure
        except Exception:
            _LOG.exception("%s failed", names)
            error = ServerError(f"{names} failed; the server's log has the details")
        else:
            return {task: _checked(task, prediction, outcome) for task in tasks}
        return dict.fromkeys(tasks, outcome(error=error))


def _checked(task: Task, prediction: Prediction, outcome: Callable[..., Outcome]) -> Outcome:
    """Return the task's outcome; values that are not finite are an error, for this task alone."""
    bad = next((name for name in ANSWERS[task] if not np.isfinite(prediction.answers[name]).all()), None)
    if bad:
        return outcome(error=ServerError(f"task {task}: the model's {bad!r} is not finite for every face"))
    return outcome(prediction)


def shared(models: Mapping[Task, Entry], choices: Mapping[Task, TaskSettings]) -> list[tuple[Task, ...]]:
    """Return the tasks in groups that one call can answer: those of one model with the same settings."""
    groups: dict[tuple[str, str], list[Task]] = {}
    for task, choice in choices.items():
        settings = choice.model_dump_json(exclude={"model", "canary", "shadow"})
        groups.setdefault((models[task].spec.name, settings), []).append(task)
    return [tuple(tasks) for tasks in groups.values()]
