"""Detect faces with FaceDetectorNet, Mien's own network, through ONNX Runtime."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien_models.detectors.base import DetectorInfo
from mien_models.detectors.dense import DenseDetector, session
from mien_models.detectors.spec import SHIPPED, read
from mien_models.runtimes.devices import Device

_CPU = Device("cpu")


class MienDetector(DenseDetector):
    """A detector with a specification and an ONNX file."""

    def __init__(
        self, path: Path = SHIPPED, *, long_side: int, min_score: float | None = None, device: Device = _CPU
    ) -> None:
        """Load the specification `path` and the ONNX file beside it; raises `DetectorError`."""
        self.spec, data = read(path)
        digest = self.spec.weights.sha256 if self.spec.weights else ""
        self.info = DetectorInfo(self.spec.name, self.spec.version, f"sha256:{digest}", device.name)
        self._session = session(data, device, f"detector {path}")
        super().__init__(
            long_side=long_side,
            min_score=self.spec.min_score if min_score is None else min_score,
            max_overlap=self.spec.max_overlap,
        )

    def predict(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the scores and shapes of all cells; see `DenseDetector`."""
        scores, shapes = self._session.run(["scores", "shapes"], {"image": image[None]})
        return scores, shapes.T
