"""The Serve application: one `orchestrator` deployment with our own gRPC server, one deployment per task.

`mien_orchestrator.cluster.app:build` is the import path for a Serve config; its arguments are the settings. A changed
setting replaces every replica; a changed deployment option (`autoscaling_config`, or `user_config` with the task's
model) affects only that deployment.
"""

from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import Application

from mien_models.registry import Entry
from mien_models.spec import Task
from mien_orchestrator.build import make_registry, model_folders, served_models
from mien_orchestrator.cluster.autoscaling import POLICY
from mien_orchestrator.cluster.deployments import Orchestrator
from mien_orchestrator.settings import ScalingSettings, Settings, TaskSettings
from mien_orchestrator.settings.serve_config import ORCHESTRATOR
from mien_workers.deployment import ModelChoice, Worker, WorkerOptions

_LOGGING = {"enable_access_log": False}  # the access log took 45 % of a worker's time in Python

_DRAIN_CHECK_SECONDS = 0.2  # Serve's default of two seconds would dominate the shutdown

_HEALTH_PERIOD_SECONDS, _HEALTH_TIMEOUT_SECONDS = 2, 4  # a process that hangs is replaced; by default after 90 s


def build(arguments: dict[str, Any], log_path: str | None = None) -> Application:
    """Build the application from settings, before anything is deployed.

    Args:
        arguments: The settings.
        log_path: Address of the `LogReceiver` on this machine; None if there is none.

    Raises:
        SettingsError: A setting is invalid.
        ModelError: A model is unknown, or its file is missing or invalid.

    """
    settings = Settings.load(arguments)
    models = served_models(settings, make_registry(settings))
    folders = model_folders(settings)
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
            health_check_period_s=_HEALTH_PERIOD_SECONDS,
            health_check_timeout_s=_HEALTH_TIMEOUT_SECONDS,
            logging_config=_LOGGING,
        ).bind(_worker_options(task, choice, folders, models[task]))
    return serve.deployment(
        Orchestrator,
        name=ORCHESTRATOR,
        ray_actor_options={"num_cpus": settings.orchestrator.num_cpus},
        autoscaling_config={
            **_autoscaling(settings.orchestrator.scaling),
            "policy": {"policy_function": POLICY},
        },
        max_ongoing_requests=settings.limits.max_concurrent_requests,
        graceful_shutdown_timeout_s=settings.server.drain_s + 5,
        graceful_shutdown_wait_loop_s=_DRAIN_CHECK_SECONDS,
        health_check_period_s=_HEALTH_PERIOD_SECONDS,
        health_check_timeout_s=_HEALTH_TIMEOUT_SECONDS,
        logging_config=_LOGGING,
    ).bind(plain, workers, log_path)


def _autoscaling(scaling: ScalingSettings) -> dict[str, Any]:
    return {**scaling.model_dump(), "initial_replicas": max(1, scaling.min_replicas)}


def _worker_options(task: Task, choice: TaskSettings, folders: tuple[Path, ...], entry: Entry) -> WorkerOptions:
    chosen = ModelChoice(model=choice.model, runtime=choice.runtime, device=choice.device, threads=choice.threads)
    return WorkerOptions(task, folders, entry.spec.crop, chosen)
