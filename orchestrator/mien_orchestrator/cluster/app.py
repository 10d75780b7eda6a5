"""The Serve application: one `orchestrator` deployment with our own gRPC server, one deployment per task, and one for
each canary and shadow.

`mien_orchestrator.cluster.app:build` is the import path for a Serve config; its arguments are the settings. A changed
setting replaces every replica; a changed deployment option (`autoscaling_config`, or `user_config` with the task's
model) affects only that deployment.
"""

import hashlib
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import Application, Deployment

from mien_models.registry import Entry
from mien_models.spec import Task
from mien_orchestrator.build import check_rollouts, make_registry, model_folders, served_models, with_model
from mien_orchestrator.cluster.autoscaling import POLICY
from mien_orchestrator.cluster.deployments import Orchestrator
from mien_orchestrator.settings import ROLES, ScalingSettings, Settings, TaskSettings
from mien_orchestrator.settings.serve_config import ORCHESTRATOR, variant_deployment
from mien_workers.deployment import ModelChoice, Worker, WorkerOptions

_LOGGING = {"enable_access_log": False}  # the access log took 45 % of a worker's time in Python

_DRAIN_CHECK_SECONDS = 0.2  # Serve's default of two seconds would dominate the shutdown

_HEALTH_PERIOD_SECONDS, _HEALTH_TIMEOUT_SECONDS = 2, 4  # a process that hangs is replaced; by default after 90 s


def build(arguments: dict[str, Any], log_path: str | None = None) -> Application:
    """Build the application from settings, before anything is deployed.

    Args:
        arguments: The settings.
        log_path: Address of the `LogReceiver` on this machine; None without one.

    Raises:
        SettingsError: A setting is invalid.
        ModelError: A model is unknown, or its file is missing or invalid.

    """
    settings = Settings.load(arguments)
    registry = make_registry(settings)
    check_rollouts(settings, registry)
    models = served_models(settings, registry)
    folders = model_folders(settings)
    plain = settings.model_dump(mode="json")
    workers: dict[str, Application] = {
        task: _worker(task, task, choice, folders, models[task]) for task, choice in settings.served.items()
    }
    for role in ROLES:
        for task, name in settings.rollout(role).items():
            choice = settings.tasks[task]
            changed = choice.model_copy(update={"model": name, "scaling": getattr(choice, role).scaling})
            entry = served_models(with_model(settings, [task], name), registry)[task]
            deployment = variant_deployment(task, role)
            workers[deployment] = _worker(deployment, task, changed, folders, entry)
    orchestrator = serve.deployment(
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
    )
    return _versioned(orchestrator, plain, log_path).bind(plain, workers, log_path)


def _worker(name: str, task: Task, choice: TaskSettings, folders: tuple[Path, ...], entry: Entry) -> Application:
    """Return a worker deployment of a task."""
    options = _worker_options(task, choice, folders, entry)
    actor = {"num_cpus": choice.num_cpus, "num_gpus": choice.num_gpus}
    deployment = serve.deployment(
        Worker,
        name=name,
        ray_actor_options=actor,
        autoscaling_config=_autoscaling(choice.scaling),
        max_ongoing_requests=choice.max_ongoing_requests,
        max_queued_requests=choice.max_queued_requests,
        user_config={"model": choice.model},
        graceful_shutdown_wait_loop_s=_DRAIN_CHECK_SECONDS,
        health_check_period_s=_HEALTH_PERIOD_SECONDS,
        health_check_timeout_s=_HEALTH_TIMEOUT_SECONDS,
        logging_config=_LOGGING,
    )
    return _versioned(deployment, options.crop, folders, choice.runtime, choice.device, choice.threads).bind(options)


def _versioned(deployment: Deployment, *parts: object) -> Deployment:
    """Return the deployment with a version: replicas of the same version stay when it is deployed again.

    Without it, `serve.run` replaces all replicas; a Serve config has one version for all deployments, from its
    arguments. A worker's model is not part of it, since `user_config` changes it in place. Ray has no public option.
    """
    version = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    return deployment.options(version=version, _internal=True)


def _autoscaling(scaling: ScalingSettings) -> dict[str, Any]:
    return {**scaling.model_dump(), "initial_replicas": max(1, scaling.min_replicas)}


def _worker_options(task: Task, choice: TaskSettings, folders: tuple[Path, ...], entry: Entry) -> WorkerOptions:
    chosen = ModelChoice(model=choice.model, runtime=choice.runtime, device=choice.device, threads=choice.threads)
    return WorkerOptions(task, folders, entry.spec.crop, chosen)
