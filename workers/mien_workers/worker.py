"""One task's worker, whatever serves it: a `PredictRequest` in, a `PredictResponse` out."""

import time

import numpy as np

from mien.errors import DeadlineExceededError, InvalidRequestError
from mien.v1 import task_service_pb2 as pb
from mien_models.errors import CropError
from mien_models.registry import Entry
from mien_models.runtimes import Model
from mien_workers.model_info import model_info
from mien_workers.tensors import from_message, to_message


class TaskWorker:
    """Answers one task with one model; safe to call from several threads."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._info = model_info(model.entry)

    @property
    def entry(self) -> Entry:
        """The model that answers."""
        return self._model.entry

    def predict(self, request: pb.PredictRequest, *, arrived: float | None = None) -> pb.PredictResponse:
        """Answer a stack of crops.

        `arrived` is when the request came, by `time.monotonic`; None for now. Raises `InvalidRequestError` where task
        or stack are not this worker's, `DeadlineExceededError` where the request waited for longer than its budget.
        """
        if arrived is not None and request.budget_ms and (time.monotonic() - arrived) * 1e3 > request.budget_ms:
            raise DeadlineExceededError(f"the {self._model.task} worker was busy for too long; wait longer")
        tasks = [self._model.task, *(task for task in self.entry.spec.heads if task in request.more_tasks)]
        unknown = {request.task, *request.more_tasks}.difference(tasks)
        if request.task != self._model.task or unknown:
            said = ", ".join(sorted(unknown)) or request.task
            raise InvalidRequestError(f"this worker does not answer {said[:80]!r}", reason="TASK_UNKNOWN")
        crops = from_message(request.crops)
        started = time.perf_counter()
        try:
            answers = self._model.predict(crops, tasks)  # type: ignore[arg-type]  # CropError tells a wrong type
        except CropError as error:
            raise InvalidRequestError(str(error), reason="CROPS_WRONG") from error
        elapsed = (time.perf_counter() - started) * 1e3
        return pb.PredictResponse(
            answers={name: to_message(np.asarray(values, np.float32)) for name, values in answers.items()},
            model=self._info,
            compute_ms=elapsed,
        )
