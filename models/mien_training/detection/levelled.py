"""Points that another detector drew, drawn again with each face turned upright.

YuNet, which drew most of the points, reports about two thirds of a face's tilt. What it says of an upright face is
right, so each face is turned back by the tilt found so far and looked at again, until nothing is left to turn.
"""

import dataclasses
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from mien_models.detectors import Detector
from mien_training.detection.photographs import Photograph

_LEAST = 20.0  # longer side of a face, in pixels, below which its points stay as they are
_HEIGHT = 96.0  # longer side to which a face is scaled before it is looked at
_SIDE = 224  # side of the picture that is cut around it
_LOOKS = 4
_LEVEL = math.radians(2)  # tilt below which a face counts as upright
_APART = 0.25  # distance of the eyes, in faces, below which a face is seen from the side
_NEAR = 0.35  # distance from the middle, in faces, up to which a found face is the one meant
_AS_LARGE = (0.6, 1.6)


def level(item: Photograph, teacher: Detector) -> Photograph:
    """Return the photograph with the points of all faces from 20 pixels on as the teacher sees them upright.

    A face that the teacher does not see, or from the side, where the line through the eyes tells no tilt, keeps the
    points that it has.
    """
    points = item.points.copy()
    for row, box in enumerate(item.boxes):
        if box[2:].max() >= _LEAST:
            seen = _upright(item.image, box, teacher)
            points[row] = points[row] if seen is None else seen
    return dataclasses.replace(item, points=points)


def _upright(image: NDArray[np.uint8], box: NDArray[np.float32], teacher: Detector) -> NDArray[np.float32] | None:
    """Return the (5, 2) points of one face in the image's pixels, or None; see `level`."""
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
    """Return the points of the face in the middle of a picture."""
    faces = teacher.detect(picture)
    if not len(faces) or faces.points is None:
        return None
    distance = np.hypot(*(faces.boxes[:, :2] + faces.boxes[:, 2:] / 2 - _SIDE / 2).T) / _HEIGHT
    nearest = int(distance.argmin())
    size = float(faces.boxes[nearest, 2:].max()) / _HEIGHT
    fits = distance[nearest] <= _NEAR and _AS_LARGE[0] <= size <= _AS_LARGE[1]
    return faces.points[nearest] if fits else None
