"""Colour management: pixels in the colour space of an embedded ICC profile to sRGB."""

import io
import logging
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from mien_models.images.strips import strips

_LOG = logging.getLogger(__name__)

_MAX_PROFILE = 2**20
"""Maximum size of a profile in bytes; larger ones are ignored. Printer profiles have some hundred kilobytes."""


def convert_to_srgb(pixels: NDArray[np.uint8], profile: bytes | None) -> None:
    """Convert (H, W, 3) uint8 RGB pixels in place, from the colour space of an ICC profile to sRGB.

    They are unchanged if the profile is absent, or one that is sRGB, not RGB, or damaged.
    """
    transform = _transform(profile) if profile and len(profile) <= _MAX_PROFILE else None
    if transform is None:
        return
    height, width, _ = pixels.shape
    for rows in strips(width, height):
        pixels[rows] = np.asarray(ImageCms.applyTransform(Image.fromarray(pixels[rows]), transform))


@lru_cache(maxsize=32)
def _transform(profile: bytes) -> ImageCms.ImageCmsTransform | None:
    """Return LittleCMS's thread-safe transform to sRGB, or None if no conversion is needed."""
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
