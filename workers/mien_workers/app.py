"""The Serve application: one `orchestrator` deployment with our own gRPC server, one deployment a task.

`mien_workers.app:build` is the import path for a Serve config; its arguments are the settings.
"""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle

from mien.v1 import task_service_pb2 as pb
from mien_models.runtime import load
from mien_models.spec import Task
from mien_orchestrator.assembly import make_executor, make_registry, make_service, served_models
from mien_orchestrator.fanout import Fanout
from mien_orchestrator.server import Server
from mien_orchestrator.settings import ScalingSettings, Settings
from mien_orchestrator.task_health import TaskHealth
from mien_workers.backend import ServeWorkers
from mien_workers.replicas import Replicas
from mien_workers.worker import TaskWorker

ORCHESTRATOR = "orchestrator"
"""Name of the deployment that answers callers; the others are named as their tasks."""

_LOGGING = {"enable_access_log": False}  # the access log was 45 % of a worker's time in Python

_DRAIN_CHECK_SECONDS = 0.2  # Serve's own two seconds are most of the time that stopping takes


class Worker:
    """A replica of one task."""

    def __init__(self, settings: dict[str, Any], task: Task) -> None:
        loaded = Settings.load(**settings)
        choice = loaded.served[task]
        entry = served_models(loaded, make_registry(loaded))[task]
        model = load(entry, task, runtime=choice.runtime, device=choice.device, threads=choice.threads)
        self._worker = TaskWorker(model)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"mien-{task}")

    async def predict(self, request: bytes) -> bytes:
        """Answer a serialized `PredictRequest`; the model runs beside the event loop, one call at a time."""
        arrived = time.monotonic()
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._predict, request, arrived)

    def _predict(self, request: bytes, arrived: float) -> bytes:
        return self._worker.predict(pb.PredictRequest.FromString(request), arrived=arrived).SerializeToString()


class Orchestrator:
    """A replica that answers callers: a grpc.aio server in front of the ensemble."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, settings: dict[str, Any], handles: dict[Task, DeploymentHandle[bytes]]
    ) -> None:
        logging.getLogger("mien_orchestrator").setLevel(logging.INFO)
        loaded = Settings.load(**settings)
        cv2.setNumThreads(1)  # requests run beside each other
        self._executor = make_executor(loaded)
        models = served_models(loaded, make_registry(loaded))
        health = TaskHealth()
        replicas = Replicas(loaded.served, health)
        fanout = Fanout(models, loaded, ServeWorkers(handles, models).call, replicas.of, health)
        service = make_service(loaded, fanout, self._executor, "cluster", health)
        self._watching = asyncio.create_task(replicas.watch())
        self._server = Server(service, loaded, shared_port=True)
        await self._server.start()

    async def __del__(self) -> None:
        """Drain: Serve calls and awaits this when the replica is stopped."""
        await self._server.stop()
        self._watching.cancel()
        self._executor.shutdown(wait=False)


def build(arguments: dict[str, Any]) -> Application:
    """Build the application from settings; raises `SettingsError` and `ModelError` before anything is deployed."""
    settings = Settings.load(**arguments)
    served_models(settings, make_registry(settings))
    plain = settings.model_dump(mode="json")
    workers: dict[Task, Application] = {}
    for task, choice in settings.served.items():
        workers[task] = serve.deployment(
            Worker,
            name=task,
            ray_actor_options={"num_cpus": choice.num_cpus, "num_gpus": choice.num_gpus},
            autoscaling_config=_autoscaling(choice.scaling),
            max_ongoing_requests=choice.max_ongoing_requests,
            max_queued_requests=choice.max_queued_requests,
            graceful_shutdown_wait_loop_s=_DRAIN_CHECK_SECONDS,
            logging_config=_LOGGING,
        ).bind(plain, task)
    return serve.deployment(
        Orchestrator,
        name=ORCHESTRATOR,
        ray_actor_options={"num_cpus": settings.orchestrator.num_cpus},
        autoscaling_config=_autoscaling(settings.orchestrator.scaling),
        graceful_shutdown_timeout_s=settings.drain_seconds + 5,
        graceful_shutdown_wait_loop_s=_DRAIN_CHECK_SECONDS,
        logging_config=_LOGGING,
    ).bind(plain, workers)


def _autoscaling(scaling: ScalingSettings) -> dict[str, Any]:
    return {**scaling.model_dump(), "initial_replicas": max(1, scaling.min_replicas)}
