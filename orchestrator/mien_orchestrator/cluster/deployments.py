"""The orchestrator's Serve deployment: our gRPC server in front of the ensemble."""

import asyncio
from typing import Any

import cv2
from ray.serve.handle import DeploymentHandle

from mien.v1 import face_service_pb2 as pb
from mien_models.spec import Task
from mien_orchestrator.build import make_executor, make_registry, make_service, served_models
from mien_orchestrator.cluster.autoscaling import IN_FLIGHT
from mien_orchestrator.cluster.backend import ServeWorkers
from mien_orchestrator.cluster.log_forwarding import sender
from mien_orchestrator.cluster.replicas import Replicas
from mien_orchestrator.edge.server import Server
from mien_orchestrator.pipeline.backend import ModelCall
from mien_orchestrator.pipeline.fanout import Fanout
from mien_orchestrator.pipeline.task_health import TaskHealth
from mien_orchestrator.settings import Settings
from mien_orchestrator.telemetry import logs
from mien_orchestrator.telemetry.metrics import make_metrics


class Orchestrator:
    """An orchestrator replica: a grpc.aio server in front of the ensemble."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, settings: dict[str, Any], handles: dict[Task, DeploymentHandle[bytes]], log_path: str | None
    ) -> None:
        loaded = Settings.load(settings)
        logs.configure(loaded, sender(log_path))
        cv2.setNumThreads(1)  # requests run in parallel
        self._executor = make_executor(loaded)
        metrics = make_metrics(loaded)
        models = served_models(loaded, make_registry(loaded))
        health = TaskHealth()
        replicas = Replicas(loaded.served, health)
        call: ModelCall = ServeWorkers(handles, models, lambda task: replicas.of([task])).call
        call = metrics.metered(call) if metrics else call
        fanout = Fanout(models, loaded, call, replicas.of, health, limited=True)
        self._service = make_service(loaded, fanout, self._executor, pb.DEPLOYMENT_MODE_CLUSTER, health)
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
