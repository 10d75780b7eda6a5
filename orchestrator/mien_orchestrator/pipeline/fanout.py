"""The fan-out: from a task to its model, where the crops of requests in flight join; the ensemble's `Backend`."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mien_models.registry import Entry
from mien_models.spec import Task
from mien_orchestrator.pipeline.backend import Call, Prediction
from mien_orchestrator.pipeline.batching import Coalescer
from mien_orchestrator.pipeline.circuit_breaker import Breaker
from mien_orchestrator.pipeline.task_health import TaskHealth
from mien_orchestrator.settings import Settings, TaskSettings

Slots = Callable[[Sequence[Task]], int]
"""Says how many calls for these tasks, which share a model, can be worked on at once."""


class Fanout:
    """Passes each task on to its model's coalescer."""

    def __init__(
        self, models: Mapping[Task, Entry], settings: Settings, call: Call, slots: Slots, health: TaskHealth
    ) -> None:
        """Keep `health` up to date with which models fail."""
        self._coalescers: dict[Task, Coalescer] = {}
        for tasks in shared(models, settings.served):
            best_batch = models[tasks[0]].spec.best_batch
            breaker = Breaker(
                " and ".join(tasks),
                failures=settings.breaker_failures,
                pause=settings.breaker_pause_s,
                told=partial(health.mark, tasks, "failing"),
            )
            coalescer = Coalescer(call, best_batch=best_batch, slots=partial(slots, tasks), breaker=breaker)
            self._coalescers |= dict.fromkeys(tasks, coalescer)

    async def predict(self, task: Task, crops: NDArray[np.uint8], budget: float) -> Prediction:
        """Answer one task; see `Backend`."""
        return await self._coalescers[task].predict(task, crops, budget)


def shared(models: Mapping[Task, Entry], choices: Mapping[Task, TaskSettings]) -> list[tuple[Task, ...]]:
    """Return the tasks in groups that one call can answer: those of one model with the same settings."""
    groups: dict[tuple[str, str], list[Task]] = {}
    for task, choice in choices.items():
        settings = choice.model_dump_json(exclude={"model"})
        groups.setdefault((models[task].spec.name, settings), []).append(task)
    return [tuple(tasks) for tasks in groups.values()]
