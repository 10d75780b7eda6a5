"""The Ray Serve deployment of one task: loads a model and answers serialized requests."""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mien.errors import ModelError, SettingsError
from mien.worker.v1 import worker_pb2 as pb
from mien_models.registry import Registry
from mien_models.runtimes import RuntimeName, load
from mien_models.spec import CropSpec, Task
from mien_workers.worker import TaskWorker

_LOG = logging.getLogger(__name__)


class ModelChoice(BaseModel):
    """The model that a replica runs, and its device; changed at run time by a Serve config's `user_config`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = None
    """Name in the registry; None selects the task's default."""
    runtime: RuntimeName = "onnx"
    device: str = "cpu"
    """Device, as in the settings of a task."""
    threads: int = Field(default=1, ge=1)
    """CPU threads per model call."""

    def changed(self, changes: dict[str, Any]) -> Self:
        """Return a copy with some fields replaced; raises `SettingsError` for an unknown field or invalid value."""
        try:
            return self.model_validate({**self.model_dump(), **changes})
        except ValidationError as error:
            problems = (f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
            raise SettingsError(f"invalid user_config: {'; '.join(problems)}") from error


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """Options of a replica; pickled at deployment."""

    task: Task
    folders: tuple[Path, ...]
    """Model folders beside the package's own; later ones win."""
    crop: CropSpec
    """The crop specification that the orchestrators use for the task."""
    choice: ModelChoice


class Worker:
    """A replica of one task."""

    def __init__(self, options: WorkerOptions) -> None:
        self._options = options
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"mien-{options.task}")
        self._worker: TaskWorker | None = None

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Load the model that `user_config` (fields of `ModelChoice`) specifies while serving continues.

        Serve also calls it before the first request. If a later model cannot be loaded, the error is logged and the
        previous model is kept: Serve would otherwise stop the replica.
        """
        try:
            self._worker = await asyncio.get_running_loop().run_in_executor(None, self._load, user_config)
        except (SettingsError, ModelError):
            if self._worker is None:
                raise
            _LOG.exception("task %s keeps model %s", self._options.task, self._worker.entry.spec.name)

    def _load(self, user_config: dict[str, Any]) -> TaskWorker:
        task, choice = self._options.task, self._options.choice.changed(user_config)
        entry = Registry(self._options.folders).for_task(task, choice.model)
        if entry.spec.crop != self._options.crop:
            raise ModelError(
                f"model {entry.spec.name!r} takes other crops than the orchestrators send; set it in the settings"
            )
        return TaskWorker(load(entry, task, runtime=choice.runtime, device=choice.device, threads=choice.threads))

    async def predict(self, request: bytes) -> bytes:
        """Answer a serialized `PredictRequest`; the model runs beside the event loop, one call at a time."""
        assert self._worker, "Serve calls reconfigure first"
        arrived, loop = time.monotonic(), asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, _predict, self._worker, request, arrived)


def _predict(worker: TaskWorker, request: bytes, arrived: float) -> bytes:
    return worker.predict(pb.PredictRequest.FromString(request), arrived=arrived).SerializeToString()
