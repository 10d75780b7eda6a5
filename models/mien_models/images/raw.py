"""Convert raw pixels, such as a video frame, to RGB."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from mien_models.images.decode import DecodedImage
from mien_models.images.errors import ImageError
from mien_models.images.header import MAX_SIDE
from mien_models.images.limits import ImageLimits

PixelFormat = Literal["RGB", "BGR", "GRAY", "NV12"]

_CHANNELS: dict[PixelFormat, int] = {"RGB": 3, "BGR": 3, "GRAY": 1, "NV12": 1}

_PEAK_BYTES = 6
"""Bytes per pixel while converting: 3 of the result, and up to 3 of a copy without the gaps between rows."""


@dataclass(frozen=True, slots=True)
class RawImage:
    """An upright image of 8-bit pixels, row by row from the top."""

    format: PixelFormat
    """Layout of a row: 3 bytes per pixel (RGB, BGR), 1 byte (GRAY), or the planes of YUV 4:2:0 (NV12, BT.601)."""
    width: int
    """Pixels; even for NV12."""
    height: int
    stride: int
    """Bytes from the start of one row to the next; 0 if there is no gap between the rows."""
    data: bytes


def peak_bytes(raw: RawImage, limits: ImageLimits) -> int:
    """Return the maximum memory of the conversion in bytes, without `raw.data`.

    Raises:
        ImageError: The image is larger than the limits, or its size, stride and number of bytes do not agree.

    """
    _rows(raw, limits)
    return raw.width * raw.height * _PEAK_BYTES


def convert(raw: RawImage, limits: ImageLimits) -> DecodedImage:
    """Convert raw pixels to (H, W, 3) uint8 RGB.

    Raises:
        ImageError: The image is larger than the limits, or its size, stride and number of bytes do not agree.

    """
    rows = _rows(raw, limits)
    pixels = rows[:, : raw.width * _CHANNELS[raw.format]]
    match raw.format:
        case "RGB":
            picture = pixels.reshape(raw.height, raw.width, 3)
        case "BGR":
            picture = cv2.cvtColor(np.ascontiguousarray(pixels).reshape(raw.height, raw.width, 3), cv2.COLOR_BGR2RGB)
        case "GRAY":
            picture = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_GRAY2RGB)
        case "NV12":
            picture = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_YUV2RGB_NV12)
    contiguous = np.ascontiguousarray(picture, np.uint8)
    return DecodedImage(contiguous, raw.width, raw.height, raw.format, exif_orientation=1, orientation_applied=False)


def _rows(raw: RawImage, limits: ImageLimits) -> NDArray[np.uint8]:
    """Return the (rows, stride) bytes of an image whose numbers agree."""
    if raw.format not in _CHANNELS:
        raise ImageError("IMAGE_FORMAT_UNSUPPORTED", f"a raw image is {', '.join(_CHANNELS)}, not {raw.format!r}")
    if not raw.width or not raw.height:
        raise ImageError("IMAGE_EMPTY", "the raw image has no pixels; width and height are 1 or more")
    if raw.width * raw.height > limits.max_pixels:
        raise ImageError(
            "IMAGE_TOO_LARGE",
            f"the raw image has {raw.width} x {raw.height} pixels, more than the {limits.max_pixels} allowed; "
            "send a smaller one",
        )
    if max(raw.width, raw.height) > MAX_SIDE:
        raise ImageError(
            "IMAGE_TOO_LARGE",
            f"the raw image has {raw.width} x {raw.height} pixels; sides of more than {MAX_SIDE} are not allowed; "
            "send a smaller one",
        )
    if raw.format == "NV12" and (raw.width % 2 or raw.height % 2):
        raise ImageError("IMAGE_UNDECODABLE", f"an NV12 image has even sides, not {raw.width} x {raw.height}")
    used = raw.width * _CHANNELS[raw.format]
    stride = raw.stride or used
    count = raw.height * 3 // 2 if raw.format == "NV12" else raw.height
    least = stride * (count - 1) + used
    if stride < used or not least <= len(raw.data) <= stride * count:
        raise ImageError(
            "IMAGE_UNDECODABLE",
            f"a {raw.format} image of {raw.width} x {raw.height} pixels with a stride of {stride} bytes has {least} to "
            f"{max(stride, used) * count} bytes, not {len(raw.data)}",
        )
    flat = np.frombuffer(raw.data, np.uint8)
    if len(flat) < stride * count:
        return np.lib.stride_tricks.as_strided(flat, (count, used), (stride, 1), writeable=False)
    return flat.reshape(count, stride)
