"""Run models with ONNX Runtime on the CPU."""

from collections.abc import Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mien_models.registry import Entry
from mien_models.runtimes.base import check, names_of
from mien_models.spec import Task


class OnnxModel:
    """A model run by ONNX Runtime on the CPU."""

    def __init__(self, entry: Entry, task: Task, *, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self.entry = entry
        self.task = task
        self._session = onnxruntime.InferenceSession(entry.read(), options, providers=["CPUExecutionProvider"])

    def predict(self, crops: NDArray[np.uint8], tasks: Sequence[Task] = ()) -> dict[str, NDArray[np.float32]]:
        """Run (N, S, S, 3) uint8 RGB crops; see `Model`."""
        check(crops, self.entry.spec)
        names = names_of(tasks or (self.task,))
        outputs = [self.entry.spec.outputs.get(name, name) for name in names]
        return dict(zip(names, self._session.run(outputs, {"crops": crops}), strict=True))
