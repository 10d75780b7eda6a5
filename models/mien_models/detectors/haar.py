"""Detect frontal faces with OpenCV's Haar cascade, the detector of the paper on which Mien is based.

Viola and Jones, "Rapid Object Detection using a Boosted Cascade of Simple Features", CVPR 2001.
"""

import hashlib
import threading
from pathlib import Path

import cv2
import numpy as np
from cv2.data import haarcascades
from numpy.typing import NDArray

from mien_models.detectors.base import DetectorInfo, shrink
from mien_models.faces import Faces

CASCADE = Path(haarcascades) / "haarcascade_frontalface_default.xml"
"""The cascade included in OpenCV."""

SCALE_FACTOR = 1.1
"""Ratio between the window sizes searched: OpenCV's default."""

MIN_NEIGHBORS = 6
"""Overlapping detections that make a face.

On detect.zip (val) 5 / 6 / 8 find 122 / 116 / 108 of 228 faces of every pose, with 29 / 22 / 14 false positives on 263
photographs. Histogram equalisation finds fewer faces with as many false positives, so it is not used.
"""

MIN_SIDE = 24
"""Smallest window, in pixels of the shrunk image: the cascade's own size."""

# Haar's box is a square around eyes, nose and mouth; its mapping to YuNet's box, as fractions of its side: x and y
# offset, width and height. Medians over 893 pairs (IoU > 0.3, mutual best) on 1,253 photographs of detect.zip,
# split train, boxes by YuNet; on val (100 pairs) 0.124, -0.032, 0.789, 1.069.
_TO_BOX = np.array([0.112, -0.027, 0.786, 1.058], np.float32)


class Haar:
    """The cascade on the grey image, shrunk to `long_side` pixels if it is larger."""

    def __init__(self, *, long_side: int) -> None:
        digest = hashlib.sha256(CASCADE.read_bytes()).hexdigest()
        self.info = DetectorInfo("haar", cv2.__version__, f"sha256:{digest}")
        self._long_side = long_side
        # A CascadeClassifier stores the image that it searches, so it must not be shared between threads.
        self._local = threading.local()

    def detect(self, image: NDArray[np.uint8]) -> Faces:
        """Detect the frontal faces of an image (H, W, 3) uint8 RGB; without points and scores."""
        small, factor = shrink(image, self._long_side)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        found = self._cascade().detectMultiScale(
            grey, scaleFactor=SCALE_FACTOR, minNeighbors=MIN_NEIGHBORS, minSize=(MIN_SIDE, MIN_SIDE)
        )
        squares = np.asarray(found, np.float32).reshape(-1, 4)
        return Faces(_to_boxes(squares) * np.tile(factor, 2))

    def _cascade(self) -> cv2.CascadeClassifier:
        """Return this thread's cascade."""
        cascade: cv2.CascadeClassifier | None = getattr(self._local, "cascade", None)
        if cascade is None:
            cascade = self._local.cascade = cv2.CascadeClassifier(str(CASCADE))
        return cascade


def _to_boxes(squares: NDArray[np.float32]) -> NDArray[np.float32]:
    """Convert (N, 4) squares of the cascade to (N, 4) boxes as YuNet frames them."""
    side = squares[:, 2:3]
    return np.concatenate([squares[:, :2] + side * _TO_BOX[:2], side * _TO_BOX[2:]], axis=1)
