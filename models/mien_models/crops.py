"""Crop faces from an image into one stack of squares, framed like the networks' training chips."""

import math

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from mien_models.faces import Faces
from mien_models.spec import CropSpec

EYE_DISTANCE = (0.15, 1.0)
"""Smallest eye distance, as a fraction of the box's height, at which the angle is reliable.

Half of the faces have 0.32 to 0.38 (108 faces on photographs); in a profile the two points nearly coincide and the
angle between them is meaningless.
"""

_FINEST = 4
"""Maximum oversampling of a face relative to its crop, in each direction."""


def cut(image: NDArray[np.uint8], faces: Faces, spec: CropSpec) -> NDArray[np.uint8]:
    """Crop the faces of an image (H, W, 3) uint8 RGB; return (N, S, S, 3) uint8 RGB with S = `spec.size`.

    Each crop is a square of `spec.scale` x the box's height (its width, if the face lies on its side), rotated so that
    the eyes are level (if the landmarks are known and far enough apart), with the box's centre at x = 0.5 and
    y = `spec.center_y`. Image edges are repeated.
    """
    crops = np.empty((len(faces), spec.size, spec.size, 3), np.uint8)
    for index, box in enumerate(faces.boxes.tolist()):
        angle = 0.0 if faces.points is None else _tilt(faces.points[index, :2].tolist(), box)
        crops[index] = _cut_one(image, box, angle, spec)
    return crops


def _tilt(eyes: list[list[float]], box: list[float]) -> float:
    """Return the angle of the eye line, in radians, clockwise in the image; 0 if it is unreliable."""
    (right_x, right_y), (left_x, left_y) = eyes
    across, down = left_x - right_x, left_y - right_y
    angle = math.atan2(down, across)
    shortest, longest = (share * _face_height(box, angle) for share in EYE_DISTANCE)
    return angle if shortest <= math.hypot(across, down) <= longest else 0.0


def _face_height(box: list[float], angle: float) -> float:
    """Return the side of a face's box that is nearer to the direction from chin to forehead."""
    lies = abs(math.sin(angle)) > abs(math.cos(angle))
    return box[2] if lies else box[3]


def _cut_one(image: NDArray[np.uint8], box: list[float], angle: float, spec: CropSpec) -> MatLike:
    x, y, width, height = box
    side = spec.scale * _face_height(box, angle)
    region, left, top, shrunk = _region(image, (x + width / 2, y + height / 2), side, spec)
    side /= shrunk
    # Bilinear sampling covers 2 x 2 pixels: larger faces are oversampled and averaged to avoid aliasing.
    multiple = max(1, math.ceil(side / spec.size - 1e-3))
    fine = spec.size * multiple
    step = side / fine
    cos, sin = step * math.cos(angle), step * math.sin(angle)
    # The centre of pixel i is at i + 0.5, in the crop and in the image, hence the halves.
    u, v = 0.5 * fine - 0.5, spec.center_y * fine - 0.5
    centre_x, centre_y = (x + width / 2 - left) / shrunk - 0.5, (y + height / 2 - top) / shrunk - 0.5
    crop_to_image = np.array(
        [[cos, -sin, centre_x - cos * u + sin * v], [sin, cos, centre_y - sin * u - cos * v]], np.float64
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = cv2.warpAffine(region, crop_to_image, (fine, fine), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    if multiple > 1:
        crop = cv2.resize(crop, (spec.size, spec.size), interpolation=cv2.INTER_AREA)
    return crop


def _region(
    image: NDArray[np.uint8], centre: tuple[float, float], side: float, spec: CropSpec
) -> tuple[NDArray[np.uint8], int, int, int]:
    """Return the image region that a rotated square of `side` can cover, its offset, and its reduction.

    A face much larger than its crop is first reduced by an integer factor (returned last): oversampling it would cost
    more than all other steps, and `warpAffine` rejects images of 32,767 pixels.
    """
    shrunk = max(1, int(side / spec.size) // _FINEST)
    farthest = math.sqrt(0.5) + abs(spec.center_y - 0.5)  # half the diagonal, plus the crop's offset
    reach = math.ceil(side * farthest) + 2 * shrunk
    height, width = image.shape[:2]
    left, top = (min(max(0, int(at) - reach), size - 1) for at, size in zip(centre, (width, height), strict=True))
    right, bottom = (max(low + 1, int(at) + reach) for low, at in zip((left, top), centre, strict=True))
    region = image[top:bottom, left:right]
    if shrunk > 1:
        # Whole blocks only, so that the scale is exact; edges are repeated to fill the last ones.
        down, across = -region.shape[0] % shrunk, -region.shape[1] % shrunk
        region = np.asarray(cv2.copyMakeBorder(region, 0, down, 0, across, cv2.BORDER_REPLICATE), np.uint8)
        size = region.shape[1] // shrunk, region.shape[0] // shrunk
        region = np.asarray(cv2.resize(region, size, interpolation=cv2.INTER_AREA), np.uint8)
    return region, left, top, shrunk
