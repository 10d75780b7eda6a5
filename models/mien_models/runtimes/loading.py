"""Load a model with the runtime that the settings specify."""

from typing import Literal

import numpy as np

from mien_models.errors import ModelError
from mien_models.registry import Entry
from mien_models.runtimes.base import Model
from mien_models.runtimes.devices import Device
from mien_models.spec import Task

RuntimeName = Literal["onnx", "torch"]


def load(entry: Entry, task: Task, *, runtime: RuntimeName = "onnx", device: str = "cpu", threads: int = 1) -> Model:
    """Load a model for one of its tasks and run it once as a warm-up.

    Args:
        entry: The model.
        task: The task that it answers by default.
        runtime: ONNX Runtime, or PyTorch.
        device: For ONNX Runtime as in `Device`, for PyTorch one of its own names, such as `cuda`.
        threads: CPU threads per call.

    Raises:
        ModelError: The weights file is missing or changed, or the device is not available.

    """
    # Imported here so that a process loads only the runtime that it uses.
    model: Model
    if runtime == "torch":
        try:
            from mien_models.runtimes.torch import TorchModel
        except ImportError as error:
            raise ModelError(
                f"the runtime torch needs the package {error.name!r}: pip install 'mien[torch]'"
            ) from error

        model = TorchModel(entry, task, device=device, threads=threads)
    else:
        from mien_models.runtimes.onnx import OnnxModel

        model = OnnxModel(entry, task, device=device, threads=threads)
    size = entry.spec.crop.size
    model.predict(np.zeros((1, size, size, 3), np.uint8))
    return model


def device_name(runtime: RuntimeName, device: str) -> str:
    """Return the `device` of the model that `load` returns; raises `ModelError` for an unknown one."""
    return f"{device} (PyTorch)" if runtime == "torch" else Device.parse(device).name


def uses_whole(runtime: RuntimeName, device: str) -> bool:
    """Return whether a model runs from its float32 file, although it may have an INT8 file."""
    return runtime == "torch" or Device.parse(device).kind != "cpu"
