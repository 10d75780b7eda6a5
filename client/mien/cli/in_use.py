"""Which model answers which task."""

from collections.abc import Sequence

from mien.types.server_info import ModelInfo


def models_in_use(models: Sequence[ModelInfo], tasks: Sequence[str]) -> dict[str, ModelInfo]:
    """Return the model of each task of a server.

    `mien.v1` does not state it; it lists the models in use first. So a task's model is the first that has the task,
    which is wrong only if another model in use has the same task, is used for another one, and precedes by name.
    """
    return {task: model for task in tasks for model in reversed(models) if task in model.tasks}
