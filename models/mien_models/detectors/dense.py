"""The common part of the detectors with one prediction per cell: padding, cells and decoding of predictions.

A cell at column c and row r of a level with stride s predicts a box with the centre (c + x, r + y) * s and the size
exp(w, h) * s, and points at (c + x, r + y) * s, as in YuNet and OpenCV's face_detect.cpp.
"""

from abc import ABC, abstractmethod
from functools import lru_cache

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mien_models.detectors.base import DetectorInfo, shrink
from mien_models.errors import DetectorError, ModelError
from mien_models.faces import Faces
from mien_models.runtimes.devices import Device

STRIDES = (8, 16, 32)
"""Stride of each level, in pixels."""


class DenseDetector(ABC):
    """A detector that runs at the image's size, or at `long_side` pixels if the image is larger."""

    info: DetectorInfo

    def __init__(self, *, long_side: int, min_score: float, max_overlap: float) -> None:
        self._long_side = long_side
        self.min_score = min_score
        self._max_overlap = max_overlap

    @abstractmethod
    def predict(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the predictions of all P cells for an image (H, W, 3) uint8 RGB, H and W multiples of 32.

        Returns scores (P,) and shapes (P, 14), as `decode` takes them.
        """

    def detect(self, image: NDArray[np.uint8]) -> Faces:
        """Detect the faces of an image (H, W, 3) uint8 RGB, with points and scores."""
        small, factor = shrink(image, self._long_side)
        return self.detect_unscaled(small).scaled(factor)

    def detect_unscaled(self, image: NDArray[np.uint8], least_score: float | None = None) -> Faces:
        """Find the faces of an image (H, W, 3) uint8 RGB at its own resolution, with points and scores.

        `least_score` replaces the detector's own threshold.
        """
        padded = pad(image)
        height, width = padded.shape[:2]
        least = self.min_score if least_score is None else least_score
        return decode(*self.predict(padded), (height, width), min_score=least, max_overlap=self._max_overlap)


def session(data: bytes, device: Device, title: str) -> onnxruntime.InferenceSession:
    """Load a detector's ONNX file onto a device; raises `DetectorError` if that is not possible."""
    options = onnxruntime.SessionOptions()
    # One thread per call: requests run in parallel, and more threads would only compete.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # Memory patterns are kept for every input shape, and images have many.
    options.enable_mem_pattern = False
    # Errors only: YuNet declares the output shapes of 320 x 320, and every other size logs a warning.
    options.log_severity_level = 3
    try:
        return device.open(data, options, title)
    except ModelError as error:
        raise DetectorError(error.message) from error


def pad(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pad an image (H, W, 3) with black at the bottom and right, to multiples of the largest stride."""
    height, width = image.shape[:2]
    bottom, right = -height % STRIDES[-1], -width % STRIDES[-1]
    if not bottom and not right:
        return image
    return np.asarray(cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_CONSTANT), np.uint8)


@lru_cache(maxsize=64)
def cells(height: int, width: int) -> NDArray[np.float32]:
    """Return (P, 3) column, row and stride of each cell, level by level and row by row."""
    levels = []
    for stride in STRIDES:
        rows, columns = np.mgrid[: height // stride, : width // stride]
        levels.append(np.stack([columns.ravel(), rows.ravel(), np.full(rows.size, stride)], axis=1))
    return np.concatenate(levels).astype(np.float32)


def decode(
    scores: NDArray[np.float32],
    shapes: NDArray[np.float32],
    size: tuple[int, int],
    *,
    min_score: float,
    max_overlap: float,
) -> Faces:
    """Decode the predictions of all cells of a padded image into faces, sorted by score, with non-maximum suppression.

    `scores` (P,) and `shapes` (P, 14): the box's x, y, w, h and five points' x, y; `size`: the image's height and
    width. Of two boxes whose IoU exceeds `max_overlap` the one with the lower score is dropped.
    """
    likely = np.flatnonzero(scores >= min_score)
    found, chosen, places = scores[likely], shapes[likely], cells(*size)[likely]
    corners, strides = places[:, :2], places[:, 2:]
    centres = (corners + chosen[:, :2]) * strides
    sizes = np.exp(chosen[:, 2:4]) * strides
    boxes = np.concatenate([centres - sizes / 2, sizes], axis=1)
    points = (chosen[:, 4:].reshape(-1, 5, 2) + corners[:, None]) * strides[:, None]
    # Whole pixels, as in OpenCV's detector: with fractions, other boxes are kept in some cases.
    whole = boxes.astype(int).tolist()
    kept = np.asarray(cv2.dnn.NMSBoxes(whole, found.tolist(), min_score, max_overlap), np.intp).reshape(-1)
    return Faces(boxes[kept], points[kept], found[kept])
