"""The worker of one task, independent of the transport: `PredictRequest` in, `PredictResponse` out."""

import time
from collections.abc import Sequence

import numpy as np

from mien.errors import DeadlineExceededError, InvalidRequestError
from mien.worker.v1 import worker_pb2 as pb
from mien_models.registry import Entry
from mien_models.runtimes import Model
from mien_models.spec import Task
from mien_workers.model_info import model_info
from mien_workers.tensors import from_message, to_message

_MAX_NAMES = 80
"""Maximum length of unknown task names in the error, in characters."""


class TaskWorker:
    """Runs one model for one task. Thread-safe."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._info = model_info(model.entry, model.device)

    @property
    def entry(self) -> Entry:
        """The registry entry of the model."""
        return self._model.entry

    def predict(self, request: pb.PredictRequest, *, arrived: float | None = None) -> pb.PredictResponse:
        """Answer a batch of crops.

        Args:
            request: The crops, and the tasks to answer.
            arrived: When the request arrived, by `time.monotonic`; None for now.

        Raises:
            InvalidRequestError: The worker does not answer one of the tasks, or the crops are not what its model takes.
            DeadlineExceededError: The request waited longer than its timeout.

        """
        started = time.monotonic()
        queue_s = started - (started if arrived is None else arrived)
        if request.HasField("timeout_ms") and queue_s * 1e3 > request.timeout_ms:
            raise DeadlineExceededError(f"the {self._model.task} worker was busy for too long; raise the timeout")
        tasks = self._tasks(request.tasks)
        answers = self._model.predict(from_message(request.crops), tasks)  # type: ignore[arg-type]  # checked inside
        return pb.PredictResponse(
            answers={name: to_message(np.asarray(values, np.float32)) for name, values in answers.items()},
            model=self._info,
            queue_ms=queue_s * 1e3,
            compute_ms=(time.monotonic() - started) * 1e3,
        )

    def _tasks(self, names: Sequence[str]) -> list[Task]:
        """Return the requested tasks, the worker's own first."""
        answered = [self._model.task, *(task for task in self.entry.spec.heads if task in names)]
        unknown = sorted(set(names).difference(answered))
        if unknown or names[:1] != [self._model.task]:
            text = ", ".join(unknown or names)[:_MAX_NAMES]
            raise InvalidRequestError(f"this worker answers {self._model.task!r}, not {text!r}", reason="TASK_UNKNOWN")
        return list(dict.fromkeys(answered))
