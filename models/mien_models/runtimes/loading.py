"""Load a model with the runtime that the settings name."""

from typing import Literal

import numpy as np

from mien_models.registry import Entry
from mien_models.runtimes.base import Model
from mien_models.spec import Task

RuntimeName = Literal["onnx", "torch"]


def load(entry: Entry, task: Task, *, runtime: RuntimeName = "onnx", device: str = "cpu", threads: int = 1) -> Model:
    """Load a model for one of its tasks and run it once, so that the first request is not the slow one.

    `device` (PyTorch's names, such as `cuda`) counts for the PyTorch runtime alone; `threads` for the CPU.
    Raises `ModelError` where the weights file is missing or changed, and for a device that is not here.
    """
    # Imported here: a process loads the runtime that it uses, and no other.
    model: Model
    if runtime == "torch":
        from mien_models.runtimes.torch import TorchModel

        model = TorchModel(entry, task, device=device, threads=threads)
    else:
        from mien_models.runtimes.onnx import OnnxModel

        model = OnnxModel(entry, task, threads=threads)
    size = entry.spec.crop.size
    model.predict(np.zeros((1, size, size, 3), np.uint8))
    return model
