"""Run models with PyTorch on a CPU or GPU, with the weights file and graph of ONNX Runtime."""

from collections.abc import Sequence

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from mien_models.errors import ModelError
from mien_models.networks import ServedModel, build
from mien_models.registry import Entry
from mien_models.runtimes.base import check, names_of
from mien_models.spec import Task


class TorchModel:
    """A model run by PyTorch; its weights are read from the ONNX file, so that both runtimes share one digest."""

    def __init__(self, entry: Entry, task: Task, *, device: str = "cpu", threads: int = 1) -> None:
        """Load the model onto a device; raises `ModelError` if the device is not available."""
        torch.set_num_threads(threads)
        self.entry = entry.whole
        self.task = task
        self.device = f"{device} (PyTorch)"
        try:
            self._device = torch.device(device)
            self._model = served_model(entry).to(self._device)
        except (RuntimeError, AssertionError, ValueError) as error:  # AssertionError: built without CUDA
            reason = str(error).partition("\n")[0]
            raise ModelError(f"model {entry.spec.name} cannot run on the device {device!r}: {reason}") from error

    def predict(self, crops: NDArray[np.uint8], tasks: Sequence[Task] = ()) -> dict[str, NDArray[np.float32]]:
        """Run (N, S, S, 3) uint8 RGB crops; see `Model`."""
        check(crops, self.entry.spec)
        with torch.inference_mode():
            answers = self._model(torch.from_numpy(crops).to(self._device))
        return {name: answers[name].cpu().numpy() for name in names_of(tasks or (self.task,))}


def served_model(entry: Entry) -> ServedModel:
    """Rebuild the PyTorch module of a registered model, in evaluation mode, with the weights of its ONNX file."""
    graph = onnx.load_from_string(entry.whole.read()).graph
    state = {item.name: torch.from_numpy(numpy_helper.to_array(item).copy()) for item in graph.initializer}
    model = ServedModel(entry.spec, build(entry.spec))
    wanted = model.state_dict()
    counters = {name: value for name, value in wanted.items() if name.endswith("num_batches_tracked")}
    model.load_state_dict({name: state[f"served.{name}"] for name in wanted if name not in counters} | counters)
    return model.eval()
