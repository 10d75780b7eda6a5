"""The `serve` backend: a task's crops go to its Ray Serve deployment and come back as a prediction."""

import asyncio
import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from mien.array import from_message, to_message
from mien.errors import OverloadedError, ServerError, ServerUnavailableError
from mien.v1 import task_service_pb2 as pb
from mien_models.spec import Task
from mien_orchestrator.backend import Prediction

_ATTEMPTS = 2  # inference changes nothing, so a call whose replica died is made once more


class ServeBackend:
    """Calls the workers through deployment handles; messages travel as bytes."""

    def __init__(self, handles: Mapping[Task, DeploymentHandle[bytes]]) -> None:
        self._handles = handles

    async def predict(self, task: Task, crops: NDArray[np.uint8], budget: float) -> Prediction:
        """Answer one task; see `Backend`."""
        request = pb.PredictRequest(task=task, crops=to_message(crops)).SerializeToString()
        started = time.perf_counter()
        for attempt in range(_ATTEMPTS):
            try:
                reply = pb.PredictResponse.FromString(await self._call(task, request))
                break
            except (ActorDiedError, ActorUnavailableError, DeploymentUnavailableError) as error:
                if attempt + 1 == _ATTEMPTS:
                    raise ServerUnavailableError(f"the {task} worker is down; it is being restarted") from error
            except BackPressureError as error:
                raise OverloadedError(f"the {task} workers have too much to do; try again later") from error
            except RayTaskError as error:
                raise ServerError(f"the {task} worker failed; its log says why") from error
        elapsed = (time.perf_counter() - started) * 1e3
        answers = {name: from_message(array).astype(np.float32, copy=False) for name, array in reply.answers.items()}
        return Prediction(answers, reply.compute_ms, 0.0, max(0.0, elapsed - reply.compute_ms), reply.model)

    async def _call(self, task: Task, request: bytes) -> bytes:
        response = self._handles[task].predict.remote(request)
        try:
            reply: bytes = await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        return reply
