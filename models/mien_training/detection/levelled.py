"""Refine a detector's landmarks with each face rotated upright.

YuNet, which labelled most landmarks, reports about two thirds of a face's tilt, but is accurate on upright faces. Each
face is therefore rotated by the tilt found so far and detected again, until no tilt remains.
"""

import dataclasses
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from mien_models.detectors import Detector
from mien_training.detection.photographs import Photograph

_LEAST = 20.0  # longer side of a face, in pixels, below which its landmarks are kept
_HEIGHT = 96.0  # longer side to which a face is scaled before detection
_SIDE = 224  # side of the crop around it
_LOOKS = 4
_LEVEL = math.radians(2)  # tilt below which a face counts as upright
_APART = 0.25  # distance of the eyes, in faces, below which a face is a side view
_NEAR = 0.35  # largest distance of a detected face from the centre, in faces
_AS_LARGE = (0.6, 1.6)


def level(item: Photograph, teacher: Detector) -> Photograph:
    """Return the photograph with refined landmarks of all faces from 20 pixels on.

    A face that the teacher does not detect keeps its landmarks, and so does a side view, whose eye line has no reliable
    angle.
    """
    points = item.points.copy()
    for row, box in enumerate(item.boxes):
        if box[2:].max() >= _LEAST:
            seen = _upright(item.image, box, teacher)
            points[row] = points[row] if seen is None else seen
    return dataclasses.replace(item, points=points)


def _upright(image: NDArray[np.uint8], box: NDArray[np.float32], teacher: Detector) -> NDArray[np.float32] | None:
    """Return the (5, 2) landmarks of one face in the image's pixels, or None; see `level`."""
    scale, centre, angle = _HEIGHT / float(box[2:].max()), box[:2] + box[2:] / 2, 0.0
    best = None
    for _ in range(_LOOKS):
        cos, sin = scale * math.cos(angle), scale * math.sin(angle)
        linear = np.array([[cos, sin], [-sin, cos]])
        shift = _SIDE / 2 - linear @ centre
        matrix = np.column_stack([linear, shift + linear @ np.full(2, 0.5) - 0.5])
        picture = cv2.warpAffine(image, matrix, (_SIDE, _SIDE), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
        points = _middle(np.asarray(picture, np.uint8), teacher)
        if points is None:
            return best
        best = ((points - shift) @ np.linalg.inv(linear).T).astype(np.float32)
        across, down = points[1] - points[0]
        if math.hypot(across, down) < _APART * _HEIGHT:
            return None
        left = math.atan2(down, across)
        if abs(left) < _LEVEL:
            return best
        angle += left
    return best


def _middle(picture: NDArray[np.uint8], teacher: Detector) -> NDArray[np.float32] | None:
    """Return the landmarks of the face in the centre of an image."""
    faces = teacher.detect(picture)
    if not len(faces) or faces.points is None:
        return None
    distance = np.hypot(*(faces.boxes[:, :2] + faces.boxes[:, 2:] / 2 - _SIDE / 2).T) / _HEIGHT
    nearest = int(distance.argmin())
    size = float(faces.boxes[nearest, 2:].max()) / _HEIGHT
    fits = distance[nearest] <= _NEAR and _AS_LARGE[0] <= size <= _AS_LARGE[1]
    return faces.points[nearest] if fits else None
