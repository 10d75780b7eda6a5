"""The Serve application: one `orchestrator` deployment with our own gRPC server, one deployment a task.

`mien_orchestrator.cluster.app:build` is the import path for a Serve config; its arguments are the settings. A
change of them replaces every replica. What a config says of one deployment (`autoscaling_config`, `user_config` with
the task's model) changes that deployment alone.
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

from mien.errors import ModelError, SettingsError
from mien.v1 import task_service_pb2 as pb
from mien_models.runtimes import load
from mien_models.spec import Task
from mien_orchestrator.build import make_executor, make_registry, make_service, served_models
from mien_orchestrator.cluster.autoscaling import IN_FLIGHT, POLICY
from mien_orchestrator.cluster.backend import ServeWorkers
from mien_orchestrator.cluster.replicas import Replicas
from mien_orchestrator.cluster.serve_config import ORCHESTRATOR
from mien_orchestrator.edge.server import Server
from mien_orchestrator.pipeline.backend import Call
from mien_orchestrator.pipeline.fanout import Fanout
from mien_orchestrator.pipeline.task_health import TaskHealth
from mien_orchestrator.settings import ScalingSettings, Settings, task_settings
from mien_orchestrator.telemetry import logs
from mien_orchestrator.telemetry.metrics import make_metrics
from mien_workers.worker import TaskWorker

_LOG = logging.getLogger(__name__)

_LOGGING = {"enable_access_log": False}  # the access log was 45 % of a worker's time in Python

_DRAIN_CHECK_SECONDS = 0.2  # Serve's own two seconds are most of the time that stopping takes


class Worker:
    """A replica of one task."""

    def __init__(self, settings: dict[str, Any], task: Task) -> None:
        self._settings = Settings.load(**settings)
        self._task = task
        self._crop = served_models(self._settings, make_registry(self._settings))[task].spec.crop
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"mien-{task}")
        self._worker: TaskWorker | None = None

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Change over to the model that `user_config` (fields of `TaskSettings`) says; calls go on meanwhile.

        Serve calls it before the first request too. A later model that cannot be had is logged, and the one that
        answers goes on answering: Serve would end the replica otherwise, and the task with it.
        """
        try:
            self._worker = await asyncio.get_running_loop().run_in_executor(None, self._load, user_config)
        except (SettingsError, ModelError):
            if self._worker is None:
                raise
            _LOG.exception("task %s goes on with %s", self._task, self._worker.entry.spec.name)

    def _load(self, user_config: dict[str, Any]) -> TaskWorker:
        choice = task_settings(self._settings.served[self._task], user_config)
        entry = make_registry(self._settings).for_task(self._task, choice.model)
        if entry.spec.crop != self._crop:
            raise ModelError(
                f"model {entry.spec.name!r} takes other crops than the orchestrators cut; name it in the settings"
            )
        return TaskWorker(load(entry, self._task, runtime=choice.runtime, device=choice.device, threads=choice.threads))

    async def predict(self, request: bytes) -> bytes:
        """Answer a serialized `PredictRequest`; the model runs beside the event loop, one call at a time."""
        assert self._worker, "Serve calls reconfigure first"
        arrived, loop = time.monotonic(), asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, _predict, self._worker, request, arrived)


def _predict(worker: TaskWorker, request: bytes, arrived: float) -> bytes:
    return worker.predict(pb.PredictRequest.FromString(request), arrived=arrived).SerializeToString()


class Orchestrator:
    """A replica that answers callers: a grpc.aio server in front of the ensemble."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, settings: dict[str, Any], handles: dict[Task, DeploymentHandle[bytes]]
    ) -> None:
        loaded = Settings.load(**settings)
        logs.configure(loaded)
        cv2.setNumThreads(1)  # requests run beside each other
        self._executor = make_executor(loaded)
        metrics = make_metrics(loaded)
        models = served_models(loaded, make_registry(loaded))
        health = TaskHealth()
        replicas = Replicas(loaded.served, health)
        call: Call = ServeWorkers(handles, models).call
        call = metrics.metered(call) if metrics else call
        fanout = Fanout(models, loaded, call, replicas.of, health)
        self._service = make_service(loaded, fanout, self._executor, "cluster", health)
        self._watching = asyncio.create_task(replicas.watch())
        self._server = Server(self._service, loaded, metrics=metrics, shared_port=True)
        await self._server.start()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Report the calls in flight to Serve's autoscaler."""
        return {IN_FLIGHT: float(self._service.in_flight)}

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
            user_config={"model": choice.model},
            graceful_shutdown_wait_loop_s=_DRAIN_CHECK_SECONDS,
            logging_config=_LOGGING,
        ).bind(plain, task)
    return serve.deployment(
        Orchestrator,
        name=ORCHESTRATOR,
        ray_actor_options={"num_cpus": settings.orchestrator.num_cpus},
        autoscaling_config={
            **_autoscaling(settings.orchestrator.scaling),
            "policy": {"policy_function": POLICY},
        },
        max_ongoing_requests=settings.max_concurrent_requests,
        graceful_shutdown_timeout_s=settings.drain_seconds + 5,
        graceful_shutdown_wait_loop_s=_DRAIN_CHECK_SECONDS,
        logging_config=_LOGGING,
    ).bind(plain, workers)


def _autoscaling(scaling: ScalingSettings) -> dict[str, Any]:
    return {**scaling.model_dump(), "initial_replicas": max(1, scaling.min_replicas)}
