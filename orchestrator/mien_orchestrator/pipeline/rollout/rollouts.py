"""Answer the tasks of a request with the models chosen for it: stable, named, canary; shadows run afterwards."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mien_models.spec import CropSpec, Task
from mien_orchestrator.pipeline.backend import Outcome
from mien_orchestrator.pipeline.request_context import RequestContext
from mien_orchestrator.pipeline.rollout.choice import Choice, Route, choose
from mien_orchestrator.pipeline.rollout.observer import Role
from mien_orchestrator.pipeline.rollout.shadows import Shadows
from mien_orchestrator.pipeline.rollout.variants import Variant

_CANARY_SECONDS = 2.0
"""Longest time that a canary has; the stable model has at least as long after it."""

CropsBySpec = Mapping[CropSpec, NDArray[np.uint8]]
"""(N, S, S, 3) uint8 RGB crops of the same faces for each crop specification."""


class Rollouts:
    """The stable models, with the canaries and shadows beside them."""

    def __init__(
        self, stable: Variant, canaries: Mapping[Task, Route], shadows: Mapping[Task, Route], running: Shadows
    ) -> None:
        """Create the rollouts.

        Args:
            stable: The models of the settings.
            canaries: The canary of each task that has one.
            shadows: The shadow of each task that has one.
            running: Runs the shadows.

        """
        self.stable = stable
        self.canaries = canaries
        self.shadows = shadows
        self._running = running

    def choose(self, tasks: Sequence[Task], named: Mapping[Task, Variant], request_id: str) -> Choice:
        """Choose the models of a request; see `mien_orchestrator.pipeline.rollout.choice.choose`."""
        return choose(tasks, named, self.canaries, self.shadows, request_id)

    async def predict(
        self, tasks: Sequence[Task], crops: CropsBySpec, choice: Choice, context: RequestContext
    ) -> Mapping[Task, Outcome]:
        """Answer the tasks before the request's deadline, and start the shadows.

        Args:
            tasks: The requested tasks.
            crops: The crops of the answerable faces, for every model of the request.
            choice: The models of the request.
            context: The request.

        """
        groups: dict[tuple[Variant, Role], list[Task]] = {}
        for task in tasks:
            if task in choice.named:
                groups.setdefault((choice.named[task], "named"), []).append(task)
            elif task in choice.canaries:
                groups.setdefault((choice.canaries[task], "canary"), []).append(task)
            else:
                groups.setdefault((self.stable, "stable"), []).append(task)
        parts = await asyncio.gather(
            *(self._group(variant, role, group, crops, context) for (variant, role), group in groups.items())
        )
        merged = {task: outcome for part in parts for task, outcome in part.items()}
        self._running.start(choice.shadows, crops, merged, context)
        return {task: merged[task] for task in tasks}

    async def _group(
        self, variant: Variant, role: Role, tasks: Sequence[Task], crops: CropsBySpec, context: RequestContext
    ) -> Mapping[Task, Outcome]:
        """Run one variant; the stable models answer what a canary does not."""
        early = context
        if role == "canary":
            early = replace(context, deadline=time.monotonic() + min(context.remaining / 2, _CANARY_SECONDS))
        outcomes = await variant.predict({task: crops[variant.crop(task)] for task in tasks}, early, role)
        failed = [task for task, outcome in outcomes.items() if role == "canary" and outcome.prediction is None]
        if not failed:
            return outcomes
        return {**outcomes, **await self._group(self.stable, "stable", failed, crops, context)}

    async def close(self) -> None:
        """End the comparisons that still run."""
        await self._running.close()
