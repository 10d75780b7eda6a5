"""Run models with ONNX Runtime, on the CPU or with another execution provider."""

from collections.abc import Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mien_models.errors import ModelError
from mien_models.registry import Entry
from mien_models.runtimes.base import check, names_of
from mien_models.runtimes.devices import Device
from mien_models.spec import Task


class OnnxModel:
    """A model run by ONNX Runtime."""

    def __init__(self, entry: Entry, task: Task, *, device: str = "cpu", threads: int = 1) -> None:
        """Load the model onto a device; raises `ModelError` if the device is not available or the file is invalid."""
        chosen = Device.parse(device)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self.entry = entry if chosen.kind == "cpu" else entry.whole  # INT8 is faster on CPUs alone
        self.task = task
        self.device = chosen.name
        self._session = chosen.open(self.entry.read(), options, f"model {entry.spec.name}")
        self._check_graph()

    def _check_graph(self) -> None:
        """Raise `ModelError` unless the graph takes crops and has the answers of its tasks."""
        spec = self.entry.spec
        inputs = {item.name: item.type for item in self._session.get_inputs()}
        wanted = {spec.outputs.get(name, name) for name in names_of(tuple(spec.heads))}
        outputs = {item.name for item in self._session.get_outputs()}
        if inputs != {"crops": "tensor(uint8)"} or not wanted <= outputs:
            raise ModelError(
                f"model {spec.name}: {self.entry.path.name} has the inputs {', '.join(sorted(inputs))} and the outputs "
                f"{', '.join(sorted(outputs))}, instead of crops (uint8) and {', '.join(sorted(wanted))}; "
                "`mien models add` converts other ONNX files"
            )

    def predict(self, crops: NDArray[np.uint8], tasks: Sequence[Task] = ()) -> dict[str, NDArray[np.float32]]:
        """Run (N, S, S, 3) uint8 RGB crops; see `Model`."""
        check(crops, self.entry.spec)
        names = names_of(tasks or (self.task,))
        outputs = [self.entry.spec.outputs.get(name, name) for name in names]
        return dict(zip(names, self._session.run(outputs, {"crops": crops}), strict=True))
