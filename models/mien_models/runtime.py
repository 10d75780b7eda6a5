"""Run a model: crops in, named arrays out; by ONNX Runtime (the default) or by PyTorch (a GPU, or on request)."""

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from mien_models.registry import ANSWERS, Entry
from mien_models.spec import ModelSpec, Task

RuntimeName = Literal["onnx", "torch"]


class CropError(ValueError):
    """A stack of crops that is not what the model takes; the message says what it takes."""


class Model(Protocol):
    """A loaded model that answers one task. Safe to call from several threads."""

    entry: Entry
    task: Task

    def predict(self, crops: NDArray[np.uint8], tasks: Sequence[Task] = ()) -> dict[str, NDArray[np.float32]]:
        """Answer (N, S, S, 3) uint8 RGB crops with the `ANSWERS` of its task, first axis N; raises `CropError`.

        `tasks` asks for others of the model's tasks instead; together they cost what one costs.
        """


def load(entry: Entry, task: Task, *, runtime: RuntimeName = "onnx", device: str = "cpu", threads: int = 1) -> Model:
    """Load a model for one of its tasks and run it once, so that the first request is not the slow one.

    `device` (PyTorch's names, such as `cuda`) counts for the PyTorch runtime alone; `threads` for the CPU.
    Raises `ModelError` where the weights file is missing or changed, and for a device that is not here.
    """
    model: Model
    if runtime == "torch":
        from mien_models.runtime_torch import TorchModel  # the embedded path does without torch

        model = TorchModel(entry, task, device=device, threads=threads)
    else:
        model = OnnxModel(entry, task, threads=threads)
    size = entry.spec.crop.size
    model.predict(np.zeros((1, size, size, 3), np.uint8))
    return model


class OnnxModel:
    """A model run by ONNX Runtime on the CPU."""

    def __init__(self, entry: Entry, task: Task, *, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self.entry = entry
        self.task = task
        self._session = onnxruntime.InferenceSession(entry.read(), options, providers=["CPUExecutionProvider"])

    def predict(self, crops: NDArray[np.uint8], tasks: Sequence[Task] = ()) -> dict[str, NDArray[np.float32]]:
        """Answer (N, S, S, 3) uint8 RGB crops; see `Model`."""
        check(crops, self.entry.spec)
        names = names_of(tasks or (self.task,))
        return dict(zip(names, self._session.run(names, {"crops": crops}), strict=True))


def names_of(tasks: Sequence[Task]) -> list[str]:
    """Return the names of the arrays that answer the tasks."""
    return [name for task in tasks for name in ANSWERS[task]]


def check(crops: NDArray[np.uint8], spec: ModelSpec) -> None:
    """Raise `CropError` unless the stack is one that the model takes."""
    size = spec.crop.size
    if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (size, size, 3):
        raise CropError(f"model {spec.name} takes (N, {size}, {size}, 3) uint8 crops, not {crops.shape} {crops.dtype}")
