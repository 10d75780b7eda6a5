"""Count the running replicas of each task, for the number of concurrent calls and for task health."""

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
"""Polling interval, in seconds; scaling takes longer."""


class Replicas:
    """Counts the running replicas of an application's deployments, whose names are the tasks."""

    def __init__(self, served: Mapping[Task, TaskSettings], health: TaskHealth, variants: Sequence[str] = ()) -> None:
        """Mark tasks in `health` as unavailable while they have no replica but should have one.

        Args:
            served: The tasks.
            health: Is kept current.
            variants: Names of the deployments of canaries and shadows, which are counted only.

        """
        self._running: dict[str, int] = dict.fromkeys([*served, *variants], 0)
        self._always = [task for task, settings in served.items() if settings.scaling.min_replicas > 0]
        self._health = health
        health.mark(self._always, "starting", True)

    def of(self, names: Sequence[str]) -> int:
        """Return the total number of replicas of the deployments."""
        return sum(self._running[name] for name in names)

    async def watch(self) -> None:
        """Poll until cancelled."""
        application = serve.get_replica_context().app_name
        while True:
            try:
                status = await asyncio.to_thread(serve.status)
                found = status.applications.get(application)
                deployments = found.deployments if found else {}
                for task in (
                    self._running.keys() & deployments.keys()
                ):  # at the cluster's end they are deleted one by one
                    self._running[task] = deployments[task].replica_states.get(ReplicaState.RUNNING, 0)
                for task in self._always:
                    self._health.mark([task], "starting", self._running[task] == 0)
            except Exception:
                _LOG.exception("cannot count the replicas; keeping the previous numbers")
            await asyncio.sleep(_INTERVAL_SECONDS)
