"""How many replicas each task has, so that as many calls are in flight as can be worked on."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from ray import serve
from ray.serve.schema import ReplicaState

from mien_models.spec import Task
from mien_orchestrator.pipeline.task_health import TaskHealth
from mien_orchestrator.settings import TaskSettings

_LOG = logging.getLogger(__name__)

_INTERVAL_SECONDS = 2.0
"""Time between two looks; scaling takes longer."""


class Replicas:
    """Counts the running replicas of an application's deployments, which are named as their tasks."""

    def __init__(self, served: Mapping[Task, TaskSettings], health: TaskHealth) -> None:
        """Keep `health` up to date with the tasks that have no replica but should have one."""
        self._running: dict[Task, int] = dict.fromkeys(served, 0)
        self._always = [task for task, settings in served.items() if settings.scaling.min_replicas > 0]
        self._health = health
        health.mark(self._always, "starting", True)

    def of(self, tasks: Sequence[Task]) -> int:
        """Return how many replicas the tasks have together."""
        return sum(self._running[task] for task in tasks)

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        application = serve.get_replica_context().app_name
        while True:
            try:
                status = await asyncio.to_thread(serve.status)
                deployments = status.applications[application].deployments
                for task in self._running:
                    self._running[task] = deployments[task].replica_states.get(ReplicaState.RUNNING, 0)
                for task in self._always:
                    self._health.mark([task], "starting", self._running[task] == 0)
            except Exception:
                _LOG.exception("the replicas could not be counted; their numbers stay as they were")
            await asyncio.sleep(_INTERVAL_SECONDS)
