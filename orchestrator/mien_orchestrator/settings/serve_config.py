"""Read settings from a Ray Serve config, so that the file deployed on Kubernetes also runs on one machine.

`args` are the settings; options under `deployments` override them. Placement options (`label_selector`,
`max_replicas_per_node`) do not apply to one machine and are ignored.
"""

from collections.abc import Mapping
from typing import Any

from mien_orchestrator.settings.scaling import ROLES

IMPORT_PATH = "mien_orchestrator.cluster.app:build"
"""Import path that a Serve config of Mien must have."""

ORCHESTRATOR = "orchestrator"
"""Name of the deployment that clients call; the others have the names of their tasks."""

_PLACEMENT = {"max_replicas_per_node"}
_ACTOR_PLACEMENT = {"label_selector"}
_SERVE_ONLY = {"policy", "initial_replicas"}


_VARIANT = {"scaling", "model"}
"""Settings of a canary or shadow; the others are those of its task."""


def is_serve_config(content: Mapping[str, object]) -> bool:
    """Return whether the content is a Serve config rather than a settings file."""
    return "applications" in content


def variant_deployment(task: str, role: str) -> str:
    """Return the name of the deployment of a task's canary or shadow."""
    return f"{task}-{role}"


def main_application(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the application of Mien in a Serve config; raises `ValueError` if it has no such application."""
    applications = [app for app in config["applications"] if app.get("import_path") == IMPORT_PATH]
    if len(applications) != 1:
        raise ValueError(f"a Serve config must have one application with import_path {IMPORT_PATH!r}")
    found: dict[str, Any] = applications[0]
    return found


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings in a Serve config; raises `ValueError` if it is not a config of Mien."""
    application = main_application(config)
    settings = dict(application.get("args") or {})
    tasks = {task: dict(values) for task, values in (settings.get("tasks") or {}).items()}
    for options in application.get("deployments") or []:
        name = options["name"]
        task, _, role = name.rpartition("-")
        if name == ORCHESTRATOR:
            settings[ORCHESTRATOR] = {**(settings.get(ORCHESTRATOR) or {}), **_of_deployment(options)}
        elif role in ROLES:
            inner = {key: value for key, value in _of_deployment(options).items() if key in _VARIANT}
            own = tasks.setdefault(task, {})
            own[role] = {**(own.get(role) or {}), **inner}
        else:
            tasks[name] = {**tasks.get(name, {}), **_of_deployment(options)}
    return {**settings, "tasks": tasks} if tasks else settings


def _of_deployment(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a deployment from its options in a Serve config."""
    settings: dict[str, Any] = {}
    for option, value in options.items():
        if option == "autoscaling_config":
            settings["scaling"] = {key: field for key, field in value.items() if key not in _SERVE_ONLY}
        elif option == "ray_actor_options":
            settings |= {key: field for key, field in value.items() if key not in _ACTOR_PLACEMENT}
        elif option == "user_config":
            settings |= value
        elif option not in _PLACEMENT | {"name"}:
            settings[option] = value
    return settings
