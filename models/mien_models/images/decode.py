"""Bytes of an image file in, an upright RGB picture out.

The header is read first, so that a file is refused for its size before a pixel of it is decoded.
"""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mien_models.images import header
from mien_models.images.color import to_srgb
from mien_models.images.jpeg_scans import MAX_FULL_SCANS, MAX_SCANS, count_scans

try:
    import pillow_heif
except ImportError:
    _HEIF: tuple[str, ...] = ()
else:
    pillow_heif.register_heif_opener()
    _HEIF = ("HEIF",)

FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", *_HEIF)
"""The formats that are read, by Pillow's names; HEIF (HEIC) only where `pillow-heif` is installed."""

Reason = Literal["IMAGE_EMPTY", "IMAGE_UNDECODABLE", "IMAGE_TOO_LARGE", "IMAGE_TOO_COMPLEX", "IMAGE_FORMAT_UNSUPPORTED"]

# (offset, bytes, name) of well-known files that are not read, so that the refusal can name them.
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

_END_OF_IMAGE = b"\xff\xd9"

_JPEG_BYTES, _WEBP_BYTES, _OTHER_BYTES = 7, 17, 11
"""Bytes per pixel at the peak of decoding; a test measures them."""

_PROGRESSIVE_BYTES = 6
"""Bytes per pixel of the coefficients, which a progressive JPEG keeps until its last scan."""

_STRIP_PIXELS = 1_000_000

LEAST_DECODED = 0.25
"""Share of the rows of a JPEG that must be there; a picture with less is refused."""

# EXIF orientation -> (transpose?, then cv2.flip code), which brings the stored picture upright (Exif 2.32, tag 274).
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
    """What is refused as too large."""

    max_bytes: int = 20 * 1024 * 1024
    """Most bytes of a file."""
    max_pixels: int = 50_000_000
    """Most pixels, width x height. Pillow itself refuses more than 178 million, whatever is set here."""


# OpenCV's flag for a JPEG at one half, one quarter, one eighth: libjpeg then computes fewer pixels of each block. These
# say the size alone; IMREAD_REDUCED_COLOR_2 would say BGR with it.
_REDUCED = {
    1: 0,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


@dataclass(frozen=True, slots=True, eq=False)
class DecodedImage:
    """An upright picture and what its file said."""

    pixels: NDArray[np.uint8]
    """(H, W, 3) RGB, upright, contiguous; of a shrunk picture, H and W are rounded up."""
    width: int
    """Of the whole upright photograph, in pixels."""
    height: int
    format: str
    """One of `FORMATS`."""
    exif_orientation: int
    """1 to 8, as the file says; 1 where it says nothing or nonsense."""
    orientation_applied: bool
    """Whether the stored picture was turned or mirrored to be upright."""
    shrunk: int = 1
    """Pixels of the photograph for one of `pixels`, in each direction: 1, 2, 4 or 8."""
    data_missing: bool = False
    """Whether the file ends too early: the rest of the picture is grey."""


class ImageError(ValueError):
    """A file that cannot be used as an image; the message says what happened and what to do."""

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
    """Turn every exception into an `ImageError`.

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
    """Return the longer side, or, beyond 3:2, that of a picture of 3:2 with as many pixels."""
    return min(max(width, height), math.sqrt(1.5 * width * height))


def _decode(data: bytes, limits: ImageLimits, enough: int | None) -> DecodedImage:
    shrunk = 1
    data_missing = False
    with _open(data, limits) as picture:
        width, height = picture.size
        _check_size(width, height, limits)
        # MPO is a JPEG with further pictures behind it, as some telephones write; the first one is read.
        kind = "JPEG" if picture.format == "MPO" else str(picture.format)
        profile = picture.info.get("icc_profile")
        if kind == "JPEG":
            _check_scans(data, width * height, limits)
        # OpenCV takes half of Pillow's time or less for a JPEG. On a PNG it gains a fifth, and would decode it a second
        # time: the EXIF may lie behind the pixels, where Pillow finds it only by decoding.
        if kind == "JPEG" and picture.mode in ("RGB", "L"):
            shrunk = max(by for by in _REDUCED if by == 1 or (enough and _fineness(width, height) >= by * enough))
            orientation = _orientation(picture)
            pixels, data_missing = _jpeg(data, -(-width // shrunk), -(-height // shrunk), shrunk)
        elif kind == "TIFF":
            _check_tiles(picture)
            # Pillow turns a TIFF upright while it loads it, and then forgets the tag.
            orientation, pixels = _orientation(picture), to_srgb(_rgb(picture), profile)
            height, width = pixels.shape[:2]
            return DecodedImage(pixels, width, height, kind, orientation, orientation_applied=orientation != 1)
        else:
            pixels, orientation = _rgb(picture), _orientation(picture)
    if _UPRIGHT.get(orientation, (False, None))[0]:
        width, height = height, width
    pixels = _upright(to_srgb(pixels, profile), orientation)
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
    """Return about how many bytes decoding the file at full size takes at its peak, from its header alone.

    Decoders with an alpha channel or 32-bit rows hold 4 bytes per pixel beside the 3 of the result, and turning a
    picture or converting its colours takes another 3.

    Raises:
        ImageError: The header is not one, or the image is too large.

    """
    _check_file(data, limits)
    with _image_errors(limits), _open(data, limits) as picture:
        width, height = picture.size
        _check_size(width, height, limits)
        jpeg = picture.format in ("JPEG", "MPO") and picture.mode in ("RGB", "L")
        progressive = _PROGRESSIVE_BYTES if jpeg and "progression" in picture.info else 0
        other = _WEBP_BYTES if picture.format == "WEBP" else _OTHER_BYTES
        return width * height * (_JPEG_BYTES + progressive if jpeg else other)


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
    """Refuse a JPEG whose scans would take far longer to decode than a photograph."""
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
    """Read the header alone; decoding waits for the pixels to be asked for."""
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


def _jpeg(data: bytes, width: int, height: int, shrunk: int) -> tuple[NDArray[np.uint8], bool]:
    """Decode an 8-bit JPEG as it is stored, to this size; also return whether its end is missing.

    OpenCV (4.14) returns None for a JPEG that was cut short. Closed with an end marker it is decoded as far as it goes.
    """
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION | _REDUCED[shrunk]
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    missing = pixels is None
    if missing:
        pixels = cv2.imdecode(np.frombuffer(data + _END_OF_IMAGE, np.uint8), flags)
    if pixels is None or pixels.shape != (height, width, 3):
        raise _undecodable()
    if missing and _decoded_share(pixels) < LEAST_DECODED:
        raise _undecodable()
    return np.asarray(pixels, np.uint8), missing


def _decoded_share(pixels: NDArray[np.uint8]) -> float:
    """Return the share of rows above the flat grey that libjpeg fills in for missing data."""
    rows = np.flatnonzero((pixels != pixels[-1, -1]).any((1, 2)))
    return float(rows[-1] + 1) / len(pixels) if len(rows) else 0.0


def _rgb(picture: Image.Image) -> NDArray[np.uint8]:
    """Decode any mode of Pillow's to (H, W, 3)."""
    if picture.mode.startswith("I;16"):
        grey = (np.asarray(picture) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if picture.mode in ("I", "F", "LAB"):
        raise _unsupported(f"Pixels of the kind {picture.mode!r} are")
    if picture.has_transparency_data:
        return _over_white(picture)
    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _over_white(picture: Image.Image) -> NDArray[np.uint8]:
    """Lay a transparent picture over white, in strips, which bounds the copies."""
    width, height = picture.size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        part = picture.crop((0, top, width, min(height, top + rows))).convert("RGBA")
        ground = Image.new("RGBA", part.size, "white")
        pixels[top : top + rows] = np.asarray(Image.alpha_composite(ground, part).convert("RGB"))
    return pixels


def _orientation(picture: Image.Image) -> int:
    """Return the EXIF orientation, 1 where there is none that can be read: a broken tag does not spoil a picture."""
    try:
        value = picture.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:
        return 1
    return value if value in _UPRIGHT else 1


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn a stored picture upright. OpenCV copies faster than NumPy and without the interpreter's lock."""
    transpose, flip = _UPRIGHT.get(orientation, (False, None))
    turned = cv2.transpose(pixels) if transpose else pixels
    return turned if flip is None else cv2.flip(turned, flip)


def _too_many_pixels(limits: ImageLimits, width: int | None = None, height: int | None = None) -> ImageError:
    size = "The image has" if width is None else f"The image is {width} x {height},"
    return ImageError(
        "IMAGE_TOO_LARGE", f"{size} more than the {limits.max_pixels} pixels allowed. Send a smaller picture."
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
