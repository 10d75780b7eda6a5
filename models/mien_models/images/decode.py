"""Decode image files to upright RGB images.

The header is read first, so that files that are too large are rejected before any pixel is decoded.
"""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mien_models.images import header
from mien_models.images.color import convert_to_srgb
from mien_models.images.jpeg import REDUCTIONS, decode_jpeg
from mien_models.images.jpeg_scans import MAX_FULL_SCANS, MAX_SCANS, count_scans
from mien_models.images.silence import silence_decoders
from mien_models.images.strips import to_array
from mien_models.images.webp import decode_webp

try:
    import pillow_heif
except ImportError:
    _HEIF: tuple[str, ...] = ()
else:
    pillow_heif.register_heif_opener()
    _HEIF = ("HEIF",)

silence_decoders()

FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", *_HEIF)
"""Supported formats, by Pillow's names; HEIF (HEIC) only if `pillow-heif` is installed."""

T = TypeVar("T")

Reason = Literal["IMAGE_EMPTY", "IMAGE_UNDECODABLE", "IMAGE_TOO_LARGE", "IMAGE_TOO_COMPLEX", "IMAGE_FORMAT_UNSUPPORTED"]

# (offset, bytes, name) of common formats that are not supported, for the error message.
_UNREAD = (
    (0, b"%PDF", "PDF"),
    (0, b"8BPS", "PSD"),
    (0, b"\x00\x00\x01\x00", "ICO"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"ftypavi", "AVIF"),
    (4, b"ftyphei", "HEIF"),
    (4, b"ftypmif", "HEIF"),
    (4, b"ftypmsf1", "HEIF"),
    (4, b"ftyphevc", "HEIF"),
    (4, b"ftyp", "video"),
)

_ORIENTATION_TAG = 0x0112
_TILE_TAGS = (322, 323)  # TileWidth, TileLength (TIFF 6.0)

_JPEG_BYTES, _OTHER_BYTES = 7, 9
"""Bytes per pixel at the peak of decoding; a test measures them. A progressive JPEG, whose coefficients are kept until
its last scan, needs one more for each channel."""

_FILE_COPIES = 2
"""Number of copies of the file's bytes that a decoder may keep."""

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


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits above which an image is rejected."""

    max_bytes: int = 20 * 1024 * 1024
    """Maximum size of a file, in bytes."""
    max_pixels: int = 50_000_000
    """Maximum number of pixels. Pillow's own limit of 178 million applies in any case."""


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


class ImageError(ValueError):
    """The image cannot be used. The message states the problem and the remedy."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def decode(data: bytes, limits: ImageLimits | None = None, *, enough: int | None = None) -> DecodedImage:
    """Decode an image file to upright 8-bit RGB.

    `enough` is a longer side, in pixels, that is all the caller needs of a picture of up to 3:2; of a longer one it
    needs as many pixels. A JPEG that is at least twice as large comes out shrunk by 2, 4 or 8, never below it, in a
    fraction of the time.
    Transparent pixels are laid over white, 16-bit values are divided by 256, of an animation the first frame is taken,
    pixels are converted to sRGB by the embedded colour profile. A JPEG that ends too early is decoded as far as it
    goes, if at least `LEAST_DECODED` of its rows are there.

    Raises:
        ImageError: The image cannot be used. Nothing else is raised, whatever the bytes are.

    """
    limits = limits or ImageLimits()
    _check_file(data, limits)
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
        raise _too_many_pixels(limits) from error
    except Exception as error:
        raise _undecodable() from error


def _fineness(width: int, height: int) -> float:
    """Return the longer side; for aspect ratios above 3:2, that of an image of 3:2 with as many pixels."""
    return min(max(width, height), math.sqrt(1.5 * width * height))


def _decode(data: bytes, limits: ImageLimits, enough: int | None) -> DecodedImage:
    shrunk = 1
    data_missing = False
    with _open(data, limits) as picture:
        width, height = picture.size
        _check_size(width, height, limits)
        # MPO is a JPEG followed by further images, as some telephones write; the first one is decoded.
        kind = "JPEG" if picture.format == "MPO" else str(picture.format)
        profile = picture.info.get("icc_profile")
        if kind == "JPEG":
            _check_scans(data, width * height, limits)
        # OpenCV would gain a fifth on a PNG, and decode it a second time: the EXIF may lie behind the pixels, where
        # Pillow finds it only by decoding.
        if kind == "JPEG" and picture.mode in ("RGB", "L"):
            shrunk = max(by for by in REDUCTIONS if by == 1 or (enough and _fineness(width, height) >= by * enough))
            orientation = _orientation(picture)
            pixels, data_missing = _decoded(decode_jpeg(data, width, height, shrunk))
        elif kind == "WEBP":
            orientation = _orientation(picture)
            pixels = _decoded(decode_webp(data, width, height))
        elif kind == "TIFF":
            _check_tiles(picture)
            # Pillow applies the orientation of a TIFF while it loads it, and then removes the tag.
            orientation, pixels = _orientation(picture), _rgb(picture)
            convert_to_srgb(pixels, profile)
            height, width = pixels.shape[:2]
            return DecodedImage(pixels, width, height, kind, orientation, orientation_applied=orientation != 1)
        else:
            pixels, orientation = _rgb(picture), _orientation(picture)
        picture.close()  # frees its pixels before the end of the block
    if _UPRIGHT.get(orientation, (False, None))[0]:
        width, height = height, width
    convert_to_srgb(pixels, profile)
    pixels = _upright(pixels, orientation)
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
    _check_file(data, limits)
    with _image_errors(limits), _open(data, limits) as picture:
        width, height = picture.size
        _check_size(width, height, limits)
        fast = picture.format in ("JPEG", "MPO") and picture.mode in ("RGB", "L")
        progressive = len(picture.getbands()) if "progression" in picture.info else 0
        return width * height * ((_JPEG_BYTES if fast else _OTHER_BYTES) + progressive) + _FILE_COPIES * len(data)


def _check_file(data: bytes, limits: ImageLimits) -> None:
    if not data:
        raise ImageError("IMAGE_EMPTY", "The image has no bytes. Send the bytes of an image file.")
    if len(data) > limits.max_bytes:
        raise ImageError(
            "IMAGE_TOO_LARGE",
            f"The image has {len(data)} bytes, more than the {limits.max_bytes} allowed. Send a smaller file.",
        )


def _check_size(width: int, height: int, limits: ImageLimits) -> None:
    if width * height > limits.max_pixels or max(width, height) > header.MAX_SIDE:
        raise _too_many_pixels(limits, width, height)


def _check_scans(data: bytes, pixels: int, limits: ImageLimits) -> None:
    """Reject a JPEG whose scans would take much longer to decode than those of a photograph."""
    scans = count_scans(data)
    if scans > MAX_SCANS or (scans > 1 and scans * pixels > MAX_FULL_SCANS * limits.max_pixels):
        raise ImageError(
            "IMAGE_TOO_COMPLEX",
            f"The JPEG has {scans if scans <= MAX_SCANS else f'more than {MAX_SCANS}'} scans, too many for its "
            "size. Send it with fewer scans, as a baseline JPEG for example.",
        )


def _check_tiles(picture: Image.Image) -> None:
    tags = picture.tag_v2  # type: ignore[attr-defined]  # of TIFF images
    width, length = (int(tags.get(tag, 0)) for tag in _TILE_TAGS)
    if width * length > max(header.MAX_TILE_PIXELS, 4 * picture.width * picture.height):
        raise ImageError(
            "IMAGE_TOO_COMPLEX", f"The TIFF has tiles of {width} x {length} pixels. Send it with smaller ones."
        )


def _open(data: bytes, limits: ImageLimits) -> Image.Image:
    """Read the header only; pixels are decoded later."""
    size = header.webp_size(data)
    if size:
        _check_size(*size, limits)
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        name = next((name for at, mark, name in _UNREAD if data.startswith(mark, at)), None)
        if name is None or name in FORMATS:
            raise _undecodable() from error
        raise _unsupported(f"{name} files are") from error


def _decoded(result: T | None) -> T:
    if result is None:
        raise _undecodable()
    return result


def _rgb(picture: Image.Image) -> NDArray[np.uint8]:
    """Decode an image of any mode of Pillow to (H, W, 3) RGB."""
    if picture.mode in ("I", "F", "LAB"):
        raise _unsupported(f"Pixels of the kind {picture.mode!r} are")
    picture.load()
    return to_array(picture)


def _orientation(picture: Image.Image) -> int:
    """Return the EXIF orientation; 1 if it is missing or invalid, since the pixels are usable."""
    try:
        value = picture.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:
        return 1
    return value if value in _UPRIGHT else 1


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn a stored image upright. OpenCV copies faster than NumPy, and without the GIL."""
    transpose, flip = _UPRIGHT.get(orientation, (False, None))
    turned = cv2.transpose(pixels) if transpose else pixels
    return turned if flip is None else cv2.flip(turned, flip, dst=turned)


def _too_many_pixels(limits: ImageLimits, width: int | None = None, height: int | None = None) -> ImageError:
    size = "The image has" if width is None else f"The image is {width} x {height},"
    return ImageError(
        "IMAGE_TOO_LARGE", f"{size} more than the {limits.max_pixels} pixels allowed. Send a smaller image."
    )


def _unsupported(what: str) -> ImageError:
    return ImageError(
        "IMAGE_FORMAT_UNSUPPORTED", f"{what} not supported. Send one of {', '.join(FORMATS)}, 8 or 16 bit."
    )


def _undecodable() -> ImageError:
    return ImageError(
        "IMAGE_UNDECODABLE",
        f"The bytes are not a complete image file. Send a whole {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file.",
    )
