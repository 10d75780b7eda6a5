"""Decode image files to upright RGB images.

The header is read first, so that files that are too large are rejected before any pixel is decoded.
"""

import io
import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mien_models.images import header
from mien_models.images.color import convert_to_srgb
from mien_models.images.errors import ImageError, undecodable, unsupported
from mien_models.images.formats import FORMATS, unsupported_name
from mien_models.images.jpeg import REDUCTIONS, decode_jpeg
from mien_models.images.limits import ImageLimits, check_file, check_scans, check_size, check_tiles, too_many_pixels
from mien_models.images.orientation import orientation_of, swaps_sides, turn_upright
from mien_models.images.silence import silence_decoders
from mien_models.images.strips import to_array
from mien_models.images.webp import decode_webp

silence_decoders()

# Pillow's blocks of 16 MiB stay in the heap of the thread that freed them; glibc returns those above 32 MiB at once.
Image.core.set_block_size(64 * 2**20)  # type: ignore[attr-defined]


T = TypeVar("T")


_JPEG_BYTES, _OTHER_BYTES = 7, 9
"""Bytes per pixel at the peak of decoding; a test measures them. A progressive JPEG, whose coefficients are kept until
its last scan, needs one more for each channel."""

_FILE_COPIES = 2
"""Number of copies of the file's bytes that a decoder may keep."""


@dataclass(frozen=True, slots=True, eq=False)
class DecodedImage:
    """An upright image, with properties of its file."""

    pixels: NDArray[np.uint8]
    """(H, W, 3) RGB, upright, contiguous; H and W of a shrunk image are rounded up."""
    width: int
    """Width of the full upright image, in pixels."""
    height: int
    format: str
    """One of `FORMATS`."""
    exif_orientation: int
    """EXIF orientation, 1 to 8; 1 if it is missing or invalid."""
    orientation_applied: bool
    """Whether the stored image was rotated or mirrored to be upright."""
    shrunk: int = 1
    """Factor by which `pixels` is smaller than the full image, in each direction: 1, 2, 4 or 8."""
    data_missing: bool = False
    """Whether the file is truncated: missing pixels are grey."""


def decode(data: bytes, limits: ImageLimits | None = None, *, enough: int | None = None) -> DecodedImage:
    """Decode an image file to upright 8-bit RGB.

    Transparent pixels are composited on white, 16-bit values are divided by 256, the first frame of an animation is
    decoded, and pixels are converted to sRGB by the embedded colour profile. A truncated JPEG is decoded as far as
    possible if at least `LEAST_DECODED` of its rows are present.

    Args:
        data: The file.
        limits: Limits above which the image is rejected; None for the defaults.
        enough: Longer side in pixels that the caller needs of an image of up to 3:2, and the same number of pixels of
            longer ones. A JPEG of at least twice that size is decoded at 1/2, 1/4 or 1/8 of its size, in a fraction of
            the time, but not below `enough`. None for full size.

    Raises:
        ImageError: The image cannot be used. No other exception is raised, whatever the bytes are.

    """
    limits = limits or ImageLimits()
    check_file(data, limits)
    with _image_errors(limits):
        return _decode(data, limits, enough)


@contextmanager
def _image_errors(limits: ImageLimits) -> Iterator[None]:
    """Convert all exceptions to `ImageError`.

    The parsers are third-party code and their input is untrusted. OSError, ValueError and SyntaxError came out of a few
    thousand mutated files; the next release's may be others.
    """
    try:
        yield
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_many_pixels(limits) from error
    except Exception as error:
        raise undecodable() from error


def _fineness(width: int, height: int) -> float:
    """Return the longer side; for aspect ratios above 3:2, that of an image of 3:2 with as many pixels."""
    return min(max(width, height), math.sqrt(1.5 * width * height))


def _decode(data: bytes, limits: ImageLimits, enough: int | None) -> DecodedImage:
    shrunk = 1
    data_missing = False
    with closing(_open(data, limits)) as picture:
        width, height = picture.size
        check_size(width, height, limits)
        # MPO is a JPEG followed by further images, as some telephones write; the first one is decoded.
        kind = "JPEG" if picture.format == "MPO" else str(picture.format)
        profile = picture.info.get("icc_profile")
        if kind == "JPEG":
            check_scans(data, width * height, limits)
        # OpenCV would gain a fifth on a PNG, and decode it a second time: the EXIF may lie behind the pixels, where
        # Pillow finds it only by decoding.
        if kind == "JPEG" and picture.mode in ("RGB", "L"):
            shrunk = max(by for by in REDUCTIONS if by == 1 or (enough and _fineness(width, height) >= by * enough))
            orientation = orientation_of(picture)
            pixels, data_missing = _decoded(decode_jpeg(data, width, height, shrunk))
        elif kind == "WEBP":
            orientation = orientation_of(picture)
            pixels = _decoded(decode_webp(data, width, height))
        elif kind == "TIFF":
            check_tiles(picture)
            # Pillow applies the orientation of a TIFF while it loads it, and then removes the tag.
            orientation, pixels = orientation_of(picture), _rgb(picture)
            convert_to_srgb(pixels, profile)
            height, width = pixels.shape[:2]
            return DecodedImage(pixels, width, height, kind, orientation, orientation_applied=orientation != 1)
        else:
            pixels, orientation = _rgb(picture), orientation_of(picture)
    if swaps_sides(orientation):
        width, height = height, width
    convert_to_srgb(pixels, profile)
    pixels = turn_upright(pixels, orientation)
    return DecodedImage(
        pixels,
        width,
        height,
        kind,
        orientation,
        orientation_applied=orientation != 1,
        shrunk=shrunk,
        data_missing=data_missing,
    )


def peak_bytes(data: bytes, limits: ImageLimits) -> int:
    """Estimate the peak memory of decoding the file at full size in bytes, from its header.

    Decoders with an alpha channel or 32-bit rows hold 4 bytes per pixel beside the 3 of the result; after them, turning
    a picture takes twice 3.

    Raises:
        ImageError: The header is invalid, or the image is too large.

    """
    check_file(data, limits)
    with _image_errors(limits), closing(_open(data, limits)) as picture:
        width, height = picture.size
        check_size(width, height, limits)
        fast = picture.format in ("JPEG", "MPO") and picture.mode in ("RGB", "L")
        progressive = len(picture.getbands()) if "progression" in picture.info else 0
        return width * height * ((_JPEG_BYTES if fast else _OTHER_BYTES) + progressive) + _FILE_COPIES * len(data)


def _open(data: bytes, limits: ImageLimits) -> Image.Image:
    """Read the header only; pixels are decoded later."""
    size = header.webp_size(data)
    if size:
        check_size(*size, limits)
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        name = unsupported_name(data)
        raise (unsupported(f"{name} files are") if name else undecodable()) from error


def _decoded(result: T | None) -> T:
    if result is None:
        raise undecodable()
    return result


def _rgb(picture: Image.Image) -> NDArray[np.uint8]:
    """Decode an image of any mode of Pillow to (H, W, 3) RGB."""
    if picture.mode in ("I", "F", "LAB"):
        raise unsupported(f"Pixels of the kind {picture.mode!r} are")
    picture.load()
    return to_array(picture)
