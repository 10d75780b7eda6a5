"""The interface of all detectors."""

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from mien_models.faces import Faces

DETECTORS = ("mien", "yunet", "haar")
"""Names accepted by `create`."""


@dataclass(frozen=True, slots=True)
class DetectorInfo:
    """Name, version, digest and device of a detector."""

    name: str
    version: str
    digest: str
    """`sha256:` and the SHA-256 of its file."""
    device: str = "cpu"
    """Device and execution provider, such as `cuda:0 (CUDAExecutionProvider)`."""


class Detector(Protocol):
    """Detects the faces of an image. Thread-safe."""

    info: DetectorInfo

    def detect(self, image: NDArray[np.uint8]) -> Faces:
        """Detect the faces of an image (H, W, 3) uint8 RGB, in pixels of that image."""


def shrink(image: NDArray[np.uint8], long_side: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Shrink an image (H, W, 3) to a longer side of at most `long_side` pixels.

    Returns it with (2,) x and y factors that map its coordinates to the original image.
    """
    height, width = image.shape[:2]
    ratio = min(1.0, long_side / max(height, width))
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    small = image if ratio == 1.0 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small, np.array([width / size[0], height / size[1]], np.float32)
