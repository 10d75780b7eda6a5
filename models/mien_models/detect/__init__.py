"""An upright image in, its faces out: the detectors, by name."""

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from mien_models.faces import Faces

__all__ = ["DETECTORS", "Detector", "DetectorError", "create", "shrink"]

DETECTORS = ("mien", "yunet", "haar")
"""The names that `create` knows."""


class Detector(Protocol):
    """Finds all faces of an image; safe to call from several threads at once."""

    name: str

    def detect(self, image: NDArray[np.uint8]) -> Faces:
        """Find the faces of an image (H, W, 3) uint8 RGB, in pixels of that image."""


class DetectorError(ValueError):
    """A detector that cannot be made as asked; the message says what to set."""


def create(
    name: str,
    *,
    model_path: Path | None = None,
    long_side: int,
    min_score: float | None = None,
    tiles: bool = False,
) -> Detector:
    """Make the detector `name`, one of `DETECTORS`.

    `model_path` is YuNet's ONNX file, or the specification of a detector trained here (None: the one that ships). An
    image whose longer side exceeds `long_side` pixels is shrunk to it for the search; it is never enlarged.
    `min_score`, in (0, 1), is None for the detector's own threshold. `tiles` adds a second look, at parts of a shrunk
    image, where the first saw small faces or none. Raises `DetectorError` for an unknown name, a missing or wrong file
    and a setting that the detector does not have.
    """
    # Imported here so that a process loads the runtime of its own detector only.
    if name == "haar":
        if min_score is not None or tiles:
            raise DetectorError(
                "The detector 'haar' has no scores: leave detector_min_score and detector_tiles unset, "
                "or choose 'mien'."
            )
        from mien_models.detect.haar import Haar

        return Haar(long_side=long_side)
    detector = _dense(name, model_path, long_side, min_score)
    if tiles:
        from mien_models.detect.tiles import Tiled

        return Tiled(detector, long_side=long_side)
    return detector


def _dense(name: str, model_path: Path | None, long_side: int, min_score: float | None) -> Detector:
    """Make a detector that is a network."""
    if name == "yunet":
        from mien_models.detect.yunet import MIN_SCORE, YuNet

        if model_path is None:
            raise DetectorError(
                "The detector 'yunet' needs its file: set detector_path to yunet_n_320_320.onnx, or choose 'mien'."
            )
        return YuNet(model_path, long_side=long_side, min_score=MIN_SCORE if min_score is None else min_score)
    if name == "mien":
        from mien_models.detect.mien import MienDetector
        from mien_models.detect.spec import SHIPPED

        return MienDetector(model_path or SHIPPED, long_side=long_side, min_score=min_score)
    raise DetectorError(f"There is no detector {name!r}: choose one of {', '.join(DETECTORS)}.")


def shrink(image: NDArray[np.uint8], long_side: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Shrink an image (H, W, 3) to a longer side of at most `long_side` pixels.

    Returns it with (2,) x and y factors that bring coordinates found in it back to the image's own.
    """
    height, width = image.shape[:2]
    ratio = min(1.0, long_side / max(height, width))
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    small = image if ratio == 1.0 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small, np.array([width / size[0], height / size[1]], np.float32)
