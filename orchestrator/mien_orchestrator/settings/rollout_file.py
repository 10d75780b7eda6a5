"""Promote a canary, or remove a canary or shadow, in a settings file or Ray Serve config; comments are kept."""

import os
import shutil
from collections.abc import Callable, MutableMapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mien.errors import SettingsError
from mien_models.spec import Task
from mien_orchestrator.settings.names import variable
from mien_orchestrator.settings.scaling import ROLES, RolloutRole
from mien_orchestrator.settings.serve_config import is_serve_config, main_application, variant_deployment
from mien_orchestrator.settings.settings import Settings

_Node: TypeAlias = MutableMapping[str, Any]

Check: TypeAlias = Callable[[Settings], None]
"""Checks the changed settings before they replace the file; raises `MienError`."""


def promote(path: Path, task: Task, check: Check) -> str:
    """Make a task's canary its stable model, and remove the canary; a shadow of the same model goes too.

    Args:
        path: The settings file, or Serve config. It is replaced in one step.
        task: The task.
        check: Checks the changed settings.

    Returns:
        The name of the new stable model.

    Raises:
        SettingsError: The file cannot be read or written, the task has no canary, or another source of settings
            overrides the file.
        MienError: The check failed; the file is as it was.

    """
    settings = Settings.load(config=path)
    model = _model(settings, task, "canary")
    roles = [role for role in ROLES if getattr(settings.tasks[task], role).model == model]

    def change(document: _Node) -> None:
        for role in roles:
            _remove(document, task, role)
        _task(document, task)["model"] = model
        for options in _deployments(document):
            if options.get("name") == task and "model" in (options.get("user_config") or {}):
                options["user_config"]["model"] = model

    def checked(changed: Settings) -> None:
        if changed.tasks[task].model != model:
            raise SettingsError(f"tasks.{task}.model is set by {variable(('tasks', task, 'model'))}; change it there")
        _check_removed(changed, task, roles)
        check(changed)

    _rewrite(path, change, checked)
    return model


def abort(path: Path, task: Task, role: RolloutRole, check: Check) -> str:
    """Remove a task's canary or shadow.

    Args:
        path: The settings file, or Serve config. It is replaced in one step.
        task: The task.
        role: What to remove.
        check: Checks the changed settings.

    Returns:
        The name of the removed model.

    Raises:
        SettingsError: As for `promote`.
        MienError: The check failed; the file is as it was.

    """
    model = _model(Settings.load(config=path), task, role)

    def checked(changed: Settings) -> None:
        _check_removed(changed, task, [role])
        check(changed)

    _rewrite(path, lambda document: _remove(document, task, role), checked)
    return model


def _model(settings: Settings, task: Task, role: RolloutRole) -> str:
    found = settings.rollout(role).get(task)
    if found is None:
        others = ", ".join(settings.rollout(role)) or "none"
        raise SettingsError(f"task {task} has no {role}; tasks with a {role}: {others}")
    return found


def _check_removed(settings: Settings, task: Task, roles: list[RolloutRole]) -> None:
    for role in roles:
        if settings.rollout(role).get(task):
            name = variable(("tasks", task, role, "model"))
            raise SettingsError(f"tasks.{task}.{role}.model is set by {name}; unset it there")


def _arguments(document: _Node) -> _Node:
    """Return the settings in a document: all of it, or the arguments of the application of a Serve config."""
    if not is_serve_config(document):
        return document
    application = main_application(document)
    return _group(application, "args")


def _deployments(document: _Node) -> list[_Node]:
    return main_application(document).get("deployments") or [] if is_serve_config(document) else []


def _task(document: _Node, task: Task) -> _Node:
    return _group(_group(_arguments(document), "tasks"), task)


def _group(above: _Node, name: str) -> _Node:
    if above.get(name) is None:
        above[name] = {}
    group: _Node = above[name]
    return group


def _remove(document: _Node, task: Task, role: RolloutRole) -> None:
    tasks = _group(_arguments(document), "tasks")
    _task(document, task).pop(role, None)
    if not tasks[task]:
        del tasks[task]
    deployments = _deployments(document)
    for options in [each for each in deployments if each.get("name") == variant_deployment(task, role)]:
        deployments.remove(options)


def _rewrite(path: Path, change: Callable[[_Node], None], check: Check) -> None:
    """Change the document of a file, check the settings, and replace the file in one step."""
    target = path.resolve()
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 10_000
    try:
        text = target.read_text(encoding="utf-8")
        yaml.indent(mapping=2, sequence=4, offset=2)
        document = yaml.load(text)
        change(document)
        with NamedTemporaryFile("w", dir=target.parent, suffix=target.suffix, delete=False, encoding="utf-8") as file:
            yaml.dump(document, file)
    except OSError as error:
        raise SettingsError(f"settings file {path}: {error.strerror}") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"settings file {path} is not YAML: {error}") from error
    made = Path(file.name)
    try:
        check(Settings.load(config=made))
        shutil.copymode(target, made)
        os.replace(made, target)
    finally:
        made.unlink(missing_ok=True)
