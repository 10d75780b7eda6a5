"""Copy pixels from Pillow's images to arrays in strips, which bounds the copies."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_STRIP_PIXELS = 1_000_000


def strips(width: int, height: int) -> Iterator[slice]:
    """Yield the rows of each strip of a picture, from the top."""
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        yield slice(top, min(height, top + rows))


def to_array(picture: Image.Image) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 RGB of a picture of 8 or 16 bits; transparent pixels are laid over white."""
    width, height = picture.size
    pixels = np.empty((height, width, 3), np.uint8)
    for rows in strips(width, height):
        part = picture.crop((0, rows.start, width, rows.stop))
        if picture.mode.startswith("I;16"):
            pixels[rows] = (np.asarray(part) >> 8).astype(np.uint8)[:, :, None]
        elif picture.has_transparency_data:
            pixels[rows] = _over_white(part.convert("RGBA"))
        else:
            pixels[rows] = np.asarray(part.convert("RGB"))
    return pixels


def over_white(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay (H, W, 4) uint8 RGBA pixels over white; returns (H, W, 3) RGB."""
    height, width, _ = pixels.shape
    opaque = np.empty((height, width, 3), np.uint8)
    for rows in strips(width, height):
        opaque[rows] = _over_white(Image.fromarray(pixels[rows]))
    return opaque


def _over_white(part: Image.Image) -> NDArray[np.uint8]:
    ground = Image.new("RGBA", part.size, "white")
    return np.asarray(Image.alpha_composite(ground, part).convert("RGB"))
