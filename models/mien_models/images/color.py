"""Colour management: pixels in the colour space of an embedded ICC profile to sRGB."""

import io
import logging
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

_LOG = logging.getLogger(__name__)

_MAX_PROFILE = 2**20
"""Bytes of a profile; a larger one is ignored. Profiles have some kilobytes, of printers some hundreds."""

_STRIP_PIXELS = 4_000_000
"""Pixels that are converted at once, which bounds the copies."""


def to_srgb(pixels: NDArray[np.uint8], profile: bytes | None) -> NDArray[np.uint8]:
    """Convert (H, W, 3) uint8 RGB pixels from the colour space of an ICC profile to sRGB.

    They are returned as they are if there is no profile, or one that is sRGB, not RGB, or damaged.
    """
    transform = _transform(profile) if profile and len(profile) <= _MAX_PROFILE else None
    if transform is None:
        return pixels
    converted = np.empty_like(pixels)
    rows = max(1, _STRIP_PIXELS // pixels.shape[1])
    for top in range(0, len(pixels), rows):
        part = Image.fromarray(pixels[top : top + rows])
        converted[top : top + rows] = np.asarray(ImageCms.applyTransform(part, transform))
    return converted


@lru_cache(maxsize=32)
def _transform(profile: bytes) -> ImageCms.ImageCmsTransform | None:
    """Return LittleCMS's transform to sRGB, safe to use from several threads; None if there is nothing to convert."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != "RGB" or "srgb" in ImageCms.getProfileDescription(source).lower():
            return None
        return ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            "RGB",
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.NOCACHE | ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        _LOG.info("an embedded colour profile cannot be used: %s", error)
        return None
