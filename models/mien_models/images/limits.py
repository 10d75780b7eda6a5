"""Limits of images, checked on the header, before any pixel is decoded."""

from dataclasses import dataclass

from PIL import Image

from mien_models.images import header
from mien_models.images.errors import ImageError
from mien_models.images.jpeg_scans import MAX_FULL_SCANS, MAX_SCANS, count_scans

_TILE_TAGS = (322, 323)  # TileWidth, TileLength (TIFF 6.0)


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits above which an image is rejected."""

    max_bytes: int = 20 * 1024 * 1024
    """Maximum size of a file, in bytes."""
    max_pixels: int = 50_000_000
    """Maximum number of pixels. Pillow's own limit of 178 million applies in any case."""


def check_file(data: bytes, limits: ImageLimits) -> None:
    """Raise `ImageError` if a file is empty or too large."""
    if not data:
        raise ImageError("IMAGE_EMPTY", "The image has no bytes. Send the bytes of an image file.")
    if len(data) > limits.max_bytes:
        raise ImageError(
            "IMAGE_TOO_LARGE",
            f"The image has {len(data)} bytes, more than the {limits.max_bytes} allowed. Send a smaller file.",
        )


def check_size(width: int, height: int, limits: ImageLimits) -> None:
    """Raise `ImageError` if an image has too many pixels or a side that is too long."""
    if width * height > limits.max_pixels or max(width, height) > header.MAX_SIDE:
        raise too_many_pixels(limits, width, height)


def check_scans(data: bytes, pixels: int, limits: ImageLimits) -> None:
    """Reject a JPEG whose scans would take much longer to decode than those of a photograph."""
    scans = count_scans(data)
    if scans > MAX_SCANS or (scans > 1 and scans * pixels > MAX_FULL_SCANS * limits.max_pixels):
        raise ImageError(
            "IMAGE_TOO_COMPLEX",
            f"The JPEG has {scans if scans <= MAX_SCANS else f'more than {MAX_SCANS}'} scans, too many for its "
            "size. Send it with fewer scans, as a baseline JPEG for example.",
        )


def check_tiles(picture: Image.Image) -> None:
    """Raise `ImageError` if the tiles of a TIFF would take far more memory than the image."""
    tags = picture.tag_v2  # type: ignore[attr-defined]  # of TIFF images
    width, length = (int(tags.get(tag, 0)) for tag in _TILE_TAGS)
    if width * length > max(header.MAX_TILE_PIXELS, 4 * picture.width * picture.height):
        raise ImageError(
            "IMAGE_TOO_COMPLEX", f"The TIFF has tiles of {width} x {length} pixels. Send it with smaller ones."
        )


def too_many_pixels(limits: ImageLimits, width: int | None = None, height: int | None = None) -> ImageError:
    """Return the error for an image with too many pixels, whose size may be unknown."""
    size = "The image has" if width is None else f"The image is {width} x {height},"
    return ImageError(
        "IMAGE_TOO_LARGE", f"{size} more than the {limits.max_pixels} pixels allowed. Send a smaller image."
    )
