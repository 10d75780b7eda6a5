"""The interface of all runtimes: a loaded model that maps crops to named arrays."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mien_models.errors import CropError
from mien_models.registry import ANSWERS, Entry
from mien_models.spec import ModelSpec, Task


class Model(Protocol):
    """A loaded model for one task. Thread-safe."""

    entry: Entry
    task: Task
    device: str
    """Device and runtime: `cpu (CPUExecutionProvider)`, `cuda:0 (PyTorch)`."""

    def predict(self, crops: NDArray[np.uint8], tasks: Sequence[Task] = ()) -> dict[str, NDArray[np.float32]]:
        """Run (N, S, S, 3) uint8 RGB crops; return the `ANSWERS` of its task, first axis N. Raises `CropError`.

        `tasks` selects others of the model's tasks instead; together they cost as much as one.
        """


def names_of(tasks: Sequence[Task]) -> list[str]:
    """Return the names of the arrays of the tasks."""
    return [name for task in tasks for name in ANSWERS[task]]


def check(crops: NDArray[np.uint8], spec: ModelSpec) -> None:
    """Raise `CropError` unless the model accepts the stack."""
    size = spec.crop.size
    if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (size, size, 3):
        raise CropError(f"model {spec.name} takes (N, {size}, {size}, 3) uint8 crops, not {crops.shape} {crops.dtype}")
