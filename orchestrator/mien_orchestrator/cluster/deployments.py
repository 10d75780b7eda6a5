"""The orchestrator's Serve deployment: our gRPC server in front of the ensemble."""

import asyncio
from collections.abc import Mapping, Sequence
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
from mien_orchestrator.pipeline.backend import Backend, ModelCall
from mien_orchestrator.pipeline.fanout import Fanout
from mien_orchestrator.pipeline.rollout.observer import Role
from mien_orchestrator.pipeline.task_health import TaskHealth
from mien_orchestrator.settings import Settings
from mien_orchestrator.settings.serve_config import variant_deployment
from mien_orchestrator.telemetry import logs
from mien_orchestrator.telemetry.metrics import Metrics, make_metrics


class Orchestrator:
    """An orchestrator replica: a grpc.aio server in front of the ensemble."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, settings: dict[str, Any], handles: dict[str, DeploymentHandle[bytes]], log_path: str | None
    ) -> None:
        loaded = Settings.load(settings)
        logs.configure(loaded, sender(log_path))
        cv2.setNumThreads(1)  # requests run in parallel
        self._executor = make_executor(loaded)
        metrics = make_metrics(loaded)
        health = TaskHealth()
        variants = [name for name in handles if name not in loaded.served]
        replicas = Replicas(loaded.served, health, variants)

        def fanout(
            settings: Settings, names: Mapping[Task, str], health: TaskHealth, metrics: Metrics | None
        ) -> Fanout:
            """Return the fan-out over the deployments with these names."""
            models = served_models(settings, make_registry(settings))
            own = {task: handles[name] for task, name in names.items()}
            call: ModelCall = ServeWorkers(own, models, lambda task: replicas.of([names[task]])).call
            call = metrics.metered(call) if metrics else call

            def slots(tasks: Sequence[Task]) -> int:
                return replicas.of([names[task] for task in tasks])

            return Fanout(models, settings, call, slots, health, limited=True)

        def variant(settings: Settings, role: Role) -> Backend:
            names = {task: variant_deployment(task, role) for task in settings.served}
            return fanout(settings, names, TaskHealth(), None)

        self._service = make_service(
            loaded,
            fanout(loaded, {task: task for task in loaded.served}, health, metrics),
            self._executor,
            pb.DEPLOYMENT_MODE_CLUSTER,
            health,
            variant,
            [metrics] if metrics else [],
        )
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
