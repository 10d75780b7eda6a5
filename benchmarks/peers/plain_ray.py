"""Ray Serve as in its tutorials: one deployment per model, one call per face and task, default options.

python -m peers.plain_ray PORT
"""

import asyncio
import os
import signal
import sys
import threading

import numpy as np
import ray
from numpy.typing import NDArray
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request

from mien_models.registry import ANSWERS, TASKS
from mien_models.spec import Task
from pipeline import Answers, FaceFinder, Reply, load_model, merge


@serve.deployment
class FaceModel:
    """One model."""

    def __init__(self, task: Task) -> None:
        self._model = load_model(task)

    def __call__(self, crop: NDArray[np.uint8]) -> Answers:
        """Predict one face, (S, S, 3)."""
        return self._model.predict(crop[None])


@serve.deployment
class Ingress:
    """Detects the faces and calls the models."""

    def __init__(self, models: dict[Task, DeploymentHandle]) -> None:
        self._models = models
        self._finder = FaceFinder()

    async def __call__(self, request: Request) -> Reply:
        """Analyze the image in a request's body."""
        found = self._finder.find(await request.body())
        calls = [self._models[task].remote(crop) for task in TASKS for crop in found.crops[task]]
        predicted = iter(await asyncio.gather(*calls))
        answers = {task: _join(task, [next(predicted) for _ in range(len(found.faces))]) for task in TASKS if calls}
        return merge(found, answers)


def _join(task: Task, rows: list[Answers]) -> Answers:
    return {name: np.concatenate([row[name] for row in rows]) for name in ANSWERS[task]}


if __name__ == "__main__":
    stop = threading.Event()
    # A replica reserves one CPU by default, and there are four replicas.
    ray.init(num_cpus=max(os.cpu_count() or 1, len(TASKS) + 1), include_dashboard=False, _node_ip_address="127.0.0.1")
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Ingress.bind({task: FaceModel.options(name=task).bind(task) for task in TASKS}), route_prefix="/analyze")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
    serve.shutdown()
    ray.shutdown()
