"""Models with their backend: the stable ones of the settings, and others beside them."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from mien.errors import NotFoundError
from mien.v1.face_pb2 import ModelInfo
from mien_models.registry import Entry
from mien_models.spec import CropSpec, Task
from mien_orchestrator.pipeline.backend import Backend, Crops, Outcome
from mien_orchestrator.pipeline.request_context import RequestContext
from mien_orchestrator.pipeline.rollout.observer import Role, RolloutObserver
from mien_workers.model_info import model_info

_KEPT = 4
"""Loaded variants that are kept in memory; the one that was not used for longest is dropped."""


class Variant:
    """One model for each of some tasks, and the backend that runs them."""

    def __init__(
        self, models: Mapping[Task, Entry], devices: Mapping[Task, str], backend: Backend, observer: RolloutObserver
    ) -> None:
        """Create the variant.

        Args:
            models: The model of each task.
            devices: Where each model runs by the settings, for people.
            backend: Runs the models.
            observer: Is notified of every answer.

        """
        self.models = models
        self.infos: dict[str, ModelInfo] = {task: model_info(entry, devices[task]) for task, entry in models.items()}
        """The model of each task: that of the settings, then the one that answered last."""
        self._backend = backend
        self._observer = observer

    def crop(self, task: Task) -> CropSpec:
        """Return the crop that the task's model takes."""
        return self.models[task].spec.crop

    async def predict(self, crops: Crops, context: RequestContext, role: Role) -> Mapping[Task, Outcome]:
        """Run the models, and note which ones answered: workers may have others than the settings, or reload.

        Args:
            crops: The crops of each task; see `Backend`.
            context: The request.
            role: What the request uses the models for.

        Returns:
            The outcome of each task; a prediction has the model that answered.

        """
        outcomes = await self._backend.predict(crops, context)
        return {task: self._noted(task, outcome, role) for task, outcome in outcomes.items()}

    def _noted(self, task: Task, outcome: Outcome, role: Role) -> Outcome:
        if prediction := outcome.prediction:
            info = self.infos[task] = prediction.models.get(task) or self.infos[task]
            outcome = replace(outcome, prediction=replace(prediction, models={**prediction.models, task: info}))
        self._observer.answered(task, self.infos[task], role, outcome)
        return outcome


class Variants:
    """The models that a request may name, by name. Used on one event loop."""

    def __init__(self, deployed: Sequence[Variant], load: Callable[[Task, str], Variant] | None = None) -> None:
        """Create the collection.

        Args:
            deployed: The models that run already.
            load: Loads a model for a task and all other tasks that it answers, and blocks; raises `MienError`. None if
                only the deployed models can be named.

        """
        self._deployed = deployed
        self._load = load
        self._loaded: OrderedDict[str, Variant] = OrderedDict()
        self._loading = asyncio.Lock()

    async def get(self, task: Task, name: str) -> Variant:
        """Return the model of a name for a task, loaded if necessary.

        Raises:
            NotFoundError: The server does not have the model, or the model does not answer the task.

        """
        running = {v.models[task].spec.name: v for v in reversed(self._deployed) if task in v.models}
        if name in running:
            return running[name]
        if self._load is None:
            names = ", ".join(sorted(running))
            raise NotFoundError(
                f"model {name[:80]!r} is not deployed for task {task!r}; deployed: {names}", reason="MODEL_UNKNOWN"
            )
        async with self._loading:
            if name not in self._loaded or task not in self._loaded[name].models:
                self._loaded[name] = await asyncio.to_thread(self._load, task, name)
            self._loaded.move_to_end(name)
            while len(self._loaded) > _KEPT:
                self._loaded.popitem(last=False)
            return self._loaded[name]
