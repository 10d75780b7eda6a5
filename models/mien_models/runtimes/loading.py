"""Load a model with the runtime that the settings specify."""

from typing import Literal

import numpy as np

from mien_models.registry import Entry
from mien_models.runtimes.base import Model
from mien_models.spec import Task

RuntimeName = Literal["onnx", "torch"]


def load(entry: Entry, task: Task, *, runtime: RuntimeName = "onnx", device: str = "cpu", threads: int = 1) -> Model:
    """Load a model for one of its tasks and run it once as a warm-up.

    `device` (PyTorch's names, such as `cuda`) applies to the PyTorch runtime only; `threads` to the CPU.
    Raises `ModelError` if the weights file is missing or changed, or the device is not available.
    """
    # Imported here so that a process loads only the runtime that it uses.
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
