"""Run shadows: models that answer a share of the requests for a comparison, never for the reply."""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping

from numpy import uint8
from numpy.typing import NDArray

from mien_models.spec import CropSpec, Task
from mien_orchestrator.pipeline.backend import Outcome, Prediction
from mien_orchestrator.pipeline.request_context import RequestContext
from mien_orchestrator.pipeline.rollout.difference import compare
from mien_orchestrator.pipeline.rollout.observer import RolloutObserver
from mien_orchestrator.pipeline.rollout.variants import Variant

_AT_ONCE = 4
"""Requests that a shadow answers or that wait for it; further ones are dropped and counted."""

_SECONDS = 10.0
"""Time that a shadow has for an answer."""

_LOG = logging.getLogger(__name__)


class Shadows:
    """Runs shadows in the background, after the stable models have answered."""

    def __init__(self, observer: RolloutObserver) -> None:
        """`observer` is notified of every comparison."""
        self._observer = observer
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_flight: Counter[Variant] = Counter()

    def start(
        self,
        shadows: Mapping[Task, Variant],
        crops: Mapping[CropSpec, NDArray[uint8]],
        outcomes: Mapping[Task, Outcome],
        context: RequestContext,
    ) -> None:
        """Start the shadows of a request whose outcomes are known; returns at once."""
        groups: dict[Variant, dict[Task, Prediction]] = {}
        for task, variant in shadows.items():
            if prediction := outcomes[task].prediction:
                groups.setdefault(variant, {})[task] = prediction
        for variant, stable in groups.items():
            if self._in_flight[variant] >= _AT_ONCE:
                for task in stable:
                    self._observer.dropped(task, variant.infos[task])
                continue
            own = {task: crops[variant.crop(task)] for task in stable}
            self._in_flight[variant] += 1
            running = asyncio.create_task(self._compare(variant, stable, own, context))
            self._tasks.add(running)
            running.add_done_callback(self._tasks.discard)

    async def _compare(
        self,
        variant: Variant,
        stable: Mapping[Task, Prediction],
        crops: Mapping[Task, NDArray[uint8]],
        context: RequestContext,
    ) -> None:
        own = RequestContext(context.method, context.request_id)
        own.limit(_SECONDS)
        try:
            outcomes = await variant.predict(crops, own, "shadow")
            for task, outcome in outcomes.items():
                if outcome.prediction:
                    models = (stable[task].models[task], outcome.prediction.models[task])
                    difference = compare(task, stable[task].answers, outcome.prediction.answers, models)
                    self._observer.compared(task, models[1], difference)
        except Exception:
            _LOG.exception("the comparison with the shadow of %s failed", " and ".join(stable))
        finally:
            self._in_flight[variant] -= 1

    async def close(self) -> None:
        """Cancel what runs, and wait for its end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
