"""The EXIF orientation of an image."""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

_ORIENTATION_TAG = 0x0112

# EXIF orientation -> (transpose?, then cv2.flip code), which turns the stored image upright (Exif 2.32, tag 274).
_UPRIGHT: dict[int, tuple[bool, int | None]] = {
    2: (False, 1),
    3: (False, -1),
    4: (False, 0),
    5: (True, None),
    6: (True, 1),
    7: (True, -1),
    8: (True, 0),
}


def swaps_sides(orientation: int) -> bool:
    """Return whether the upright image has the width and height of the stored one exchanged."""
    return _UPRIGHT.get(orientation, (False, None))[0]


def orientation_of(picture: Image.Image) -> int:
    """Return the EXIF orientation; 1 if it is missing or invalid, since the pixels are usable."""
    try:
        value = picture.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:
        return 1
    return value if value in _UPRIGHT else 1


def turn_upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn a stored image upright. OpenCV copies faster than NumPy, and without the GIL."""
    transpose, flip = _UPRIGHT.get(orientation, (False, None))
    turned = cv2.transpose(pixels) if transpose else pixels
    return turned if flip is None else cv2.flip(turned, flip, dst=turned)
