"""Decode JPEG files with libjpeg-turbo, at full or reduced size.

simplejpeg decodes intact files in half of Pillow's time. It rejects damaged files and unusual subsampling, which Pillow
then decodes as far as possible. Neither prints libjpeg's warnings to standard error, as OpenCV does.
"""

import io

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

REDUCTIONS = (1, 2, 4, 8)
"""Divisors of the size at which libjpeg can decode: it then computes fewer pixels of each block."""

LEAST_DECODED = 0.25
"""Share of the rows of a JPEG that must be there; a picture with less is refused."""

_END_OF_IMAGE = b"\xff\xd9"


def decode_jpeg(data: bytes, width: int, height: int, shrunk: int) -> tuple[NDArray[np.uint8], bool] | None:
    """Decode an 8-bit grey or colour JPEG as it is stored.

    Args:
        data: The file.
        width: Width of the whole image, in pixels.
        height: Height of the whole image, in pixels.
        shrunk: One of `REDUCTIONS`, by which width and height are divided, rounded up.

    Returns:
        (H, W, 3) uint8 RGB, and whether the end of the file is missing; None if too little of it can be decoded.

    """
    size = -(-height // shrunk), -(-width // shrunk)
    least = size if shrunk > 1 else (0, 0)
    try:
        pixels, missing = simplejpeg.decode_jpeg(data, "RGB", min_height=least[0], min_width=least[1]), False
    except ValueError:
        pixels, missing = _decode_damaged(data, shrunk)
    if pixels.shape != (*size, 3) or (missing and _decoded_share(pixels) < LEAST_DECODED):
        return None
    return pixels, missing


def _decode_damaged(data: bytes, shrunk: int) -> tuple[NDArray[np.uint8], bool]:
    """Decode what is there; also return whether the end is missing. Raises OSError if nothing can be decoded."""
    try:
        return _decode_with_pillow(data, shrunk), False
    except OSError:  # cut short; closed with an end marker, it is decoded as far as it goes
        return _decode_with_pillow(data + _END_OF_IMAGE, shrunk), True


def _decode_with_pillow(data: bytes, shrunk: int) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
        if shrunk > 1:
            picture.draft(None, (max(1, picture.width // shrunk), max(1, picture.height // shrunk)))
        return np.asarray(picture.convert("RGB"))


def _decoded_share(pixels: NDArray[np.uint8]) -> float:
    """Return the share of rows above the flat grey that libjpeg fills in for missing data."""
    rows = np.flatnonzero((pixels != pixels[-1, -1]).any((1, 2)))
    return float(rows[-1] + 1) / len(pixels) if len(rows) else 0.0
