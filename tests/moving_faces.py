"""Frames of the example's face that moves, with its true boxes; a gentle pan without a scene cut."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.photographs import EXAMPLE

FACE = (199.0, 65.0, 80.0, 110.0)
"""About where the face is in the example: x, y, width, height in pixels."""


def example() -> NDArray[np.uint8]:
    """Return the example's pixels, (512, 512, 3) RGB."""
    with Image.open(EXAMPLE) as file:
        return np.asarray(file.convert("RGB"))


def pan(count: int, *, width: int = 320, height: int = 240, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
    """Yield frames (H, W, 3) uint8 RGB on which the head drifts, over noise of the camera."""
    random, picture = np.random.default_rng(seed), example()[:300, 80:400]
    for number in range(count):
        shift = np.array([[1, 0, -20 + 15 * np.sin(number / 15)], [0, 1, 8 * np.sin(number / 9)]], np.float64)
        moved = cv2.warpAffine(picture, shift, (width, height), borderMode=cv2.BORDER_REPLICATE)
        noisy = moved.astype(np.int16) + random.normal(0, 3, moved.shape).astype(np.int16)
        yield np.clip(noisy, 0, 255).astype(np.uint8)
