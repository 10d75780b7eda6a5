"""How well a detector's landmarks follow tilt: the angle of the eyes on faces turned by known angles."""

import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mien_models.detectors import Detector
from mien_models.faces import Faces
from mien_training.detection.levelled import level
from mien_training.detection.photographs import Photograph

ANGLES = (0, 15, 30, 45)
"""Degrees by which the faces are turned, both ways."""

_LEAST = 50.0  # longer side of a face, in pixels, from which it is measured
_APART = 0.25  # distance of the eyes, in box heights, below which a face is a side view without a measurable tilt
_FACES = 60
_SIDE, _LONGER = 384, 110.0  # side of the turned picture, and longer side of the face in it, in pixels
_NEAR = 0.4  # distance from the middle, in longer sides, up to which a detection is the face

Figures = dict[str, dict[str, float | int]]


def measure(
    detectors: Mapping[str, Detector], photographs: Sequence[Photograph], teacher: Detector
) -> dict[str, Figures]:
    """Return each detector's figures by angle: faces, detected, and the median error of the eyes' angle in degrees.

    The faces are those of photographs with one frontal face; `teacher` refines their true landmarks.
    """
    single = [item for item in photographs if len(item.boxes) == 1 and item.boxes[0, 2:].max() >= _LEAST]
    levelled = [level(item, teacher) for item in single]
    frontal = [item for item in levelled if _distance(item) >= _APART * item.boxes[0, 3]][:_FACES]
    return {
        name: {str(angle): _figures(detector, frontal, angle) for angle in ANGLES}
        for name, detector in detectors.items()
    }


def _distance(item: Photograph) -> float:
    return float(np.hypot(*(item.points[0, 1] - item.points[0, 0])))


def _figures(detector: Detector, items: Sequence[Photograph], angle: int) -> dict[str, float | int]:
    errors, faces = [], 0
    for item in items:
        truth = _angle(item.points[0])
        for turn in {angle, -angle}:
            faces += 1
            points = _central(detector.detect(turned(item, turn)))
            if points is not None:
                errors.append(abs((_angle(points) - truth - turn + 180) % 360 - 180))
    return {
        "faces": faces,
        "detected": len(errors),
        "median_error": round(float(np.median(errors)), 1) if errors else 180.0,
    }


def turned(item: Photograph, degrees: float) -> NDArray[np.uint8]:
    """Return a square picture (H, W, 3) of a photograph's first face, turned clockwise around it."""
    box = item.boxes[0]
    centre = box[:2] + box[2:] / 2
    matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), -degrees, _LONGER / float(box[2:].max()))
    matrix[:, 2] += _SIDE / 2 - centre
    picture = cv2.warpAffine(item.image, matrix, (_SIDE, _SIDE), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(picture, np.uint8)


def _central(faces: Faces) -> NDArray[np.float32] | None:
    if not len(faces) or faces.points is None:
        return None
    distances = np.hypot(*(faces.boxes[:, :2] + faces.boxes[:, 2:] / 2 - _SIDE / 2).T)
    nearest = int(distances.argmin())
    return faces.points[nearest] if distances[nearest] <= _NEAR * _LONGER else None


def _angle(points: NDArray[np.float32]) -> float:
    across, down = points[1] - points[0]
    return math.degrees(math.atan2(down, across))
