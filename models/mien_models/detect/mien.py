"""An image in, the faces out that Mien's own detector sees: FaceNet, through ONNX Runtime."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien_models.detect import DetectorError, shrink
from mien_models.detect.dense import decode, pad, session
from mien_models.detect.spec import SHIPPED, read
from mien_models.faces import Faces


class MienDetector:
    """The detector of a specification at the image's own size, or at `long_side` pixels where that is smaller."""

    name = "mien"

    def __init__(self, path: Path = SHIPPED, *, long_side: int, min_score: float | None = None) -> None:
        """Load the specification `path` and the ONNX file beside it; raises `DetectorError`."""
        self.spec, data = read(path)
        try:
            self._session = session(data)
        except RuntimeError as error:
            raise DetectorError(f"{path}: ONNX Runtime cannot load the weights: {error}") from error
        self._long_side = long_side
        self._min_score = self.spec.min_score if min_score is None else min_score

    def detect(self, image: NDArray[np.uint8]) -> Faces:
        """Find the faces of an image (H, W, 3) uint8 RGB, with points and scores."""
        small, factor = shrink(image, self._long_side)
        padded = pad(small)
        scores, shapes = self._session.run(["scores", "shapes"], {"image": padded[None]})
        height, width = padded.shape[:2]
        faces = decode(scores, shapes.T, (height, width), min_score=self._min_score, max_overlap=self.spec.max_overlap)
        return faces.scaled(factor)
