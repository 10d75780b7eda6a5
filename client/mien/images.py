"""Convert the image sources of the SDK (paths, bytes, files, PIL images, arrays) to bytes of bounded size."""

import errno
import io
import os
import re
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from mien.errors import MACHINE_ERRORS, FileError, ImageError
from mien.pixels import Color, check_array, check_color, raw_message, to_rgb
from mien.v1 import face_service_pb2 as pb

ImageSource: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image | NDArray[np.uint8]
)
"""A path; an image file's bytes; a binary file opened for reading; a PIL image; or a uint8 array in one of the layouts
of `mien.pixels.Color`."""

RAW_BYTES = 16 * 2**20
"""Largest array that is sent as raw pixels, in bytes; larger ones are encoded as PNG, since servers limit messages."""

MAX_BYTES = 256 * 2**20
"""Largest image that is read or encoded, in bytes. The server's own limit (`ServerInfo.max_image_bytes`, 20 MiB by
default) is mostly lower, and its error states it."""

LARGE_BYTES = 16 * 2**20
"""Size in bytes above which a client requests the server's limit before it reads and sends an image."""

_ACCEPTED = "a path, bytes, a binary file, a PIL image or a uint8 array, such as (H, W, 3) RGB"

_LONGEST_SHOWN = 120
"""Maximum length of a path in messages, in characters."""

_URL = re.compile(r"data:|[A-Za-z][A-Za-z0-9+.-]*://")
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\s]{100,}={0,2}\s*")


def raw_image(image: ImageSource, color: Color = "rgb") -> pb.RawImage | None:
    """Convert an array or a PIL image to a message of raw pixels, which saves encoding and decoding it.

    Returns None for other sources, for more than `RAW_BYTES`, and for a PIL image with transparency, an EXIF
    orientation or a colour profile.

    Args:
        image: The image.
        color: Layout of an array.

    Raises:
        ImageError: the shape or type of the array is not that of its layout, or the PIL image cannot be read.
        InvalidRequestError: the layout is unknown, or is given for an image that is not an array.

    """
    check_color(color, is_array=isinstance(image, np.ndarray))
    if isinstance(image, Image.Image):
        pixels = _plain_pixels(image)
    else:
        pixels = _pixels(image, color) if isinstance(image, np.ndarray) else None
    if pixels is None or pixels.nbytes > RAW_BYTES:
        return None
    return raw_message(pixels, color)


def image_bytes(image: ImageSource, color: Color = "rgb") -> bytes:
    """Return an image file's bytes. Pixels are encoded as PNG, without loss; a file is read from its position.

    Args:
        image: The image, at most `MAX_BYTES`. The size of a file is checked before it is read.
        color: Layout of an array. BGR and NV12 are converted to RGB.

    Raises:
        ImageError: it cannot be read (reason `IMAGE_UNREADABLE`) or is too large (`IMAGE_TOO_LARGE`).
        InvalidRequestError: the layout is unknown, or is given for an image that is not an array.
        FileError: this machine cannot read it now, such as with too many open files.

    """
    check_color(color, is_array=isinstance(image, np.ndarray))
    match image:
        case bytes() | bytearray() | memoryview():
            _within(memoryview(image).nbytes, "the image")
            return bytes(image)
        case str() | os.PathLike():
            return _read_path(os.fspath(image))
        case Image.Image():
            return _encode(image)
        case np.ndarray():
            return _encode(Image.fromarray(to_rgb(_pixels(image, color), color)))
    if callable(getattr(image, "read", None)):
        return _read_file(image)
    raise ImageError(f"an image is {_ACCEPTED}, not {type(image).__name__}", reason="IMAGE_UNREADABLE")


def size_of(image: ImageSource) -> int:
    """Return the size of an image file in bytes, without reading it; 0 if it is not known in advance."""
    if isinstance(image, bytes | bytearray | memoryview):
        return memoryview(image).nbytes
    try:
        return os.stat(image).st_size if isinstance(image, str | os.PathLike) else 0
    except (OSError, ValueError):
        return 0  # its error is raised when it is read


def check_size(image: ImageSource, limit: int) -> None:
    """Raise `ImageError` if an image file has more than `limit` bytes."""
    _within(size_of(image), shown(os.fspath(image)) if isinstance(image, str | os.PathLike) else "the image", limit)


def shown(text: str) -> str:
    """Shorten a long path to its end, for messages."""
    return text if len(text) <= _LONGEST_SHOWN else f"…{text[-_LONGEST_SHOWN:]}"


def _read_path(name: object) -> bytes:
    if not isinstance(name, str):
        raise ImageError(f"a path is text, not {type(name).__name__}", reason="IMAGE_UNREADABLE")
    if _URL.match(name):
        kind = name.partition(":")[0]
        raise ImageError(f"{kind}: URLs are not read; an image is {_ACCEPTED}", reason="IMAGE_UNREADABLE")
    try:
        with Path(name).open("rb") as file:
            _within(os.fstat(file.fileno()).st_size, shown(name))
            return _read_bounded(file, shown(name))
    except FileNotFoundError as error:
        raise _missing(name) from error
    except (OSError, ValueError) as error:  # ValueError: a name that no file system can have
        raise _unreadable(name, error) from error


def _missing(name: str) -> ImageError:
    if _BASE64.fullmatch(name):
        return ImageError(
            f"the text of {len(name)} characters is not a path; decode base64 first: base64.b64decode(text)",
            reason="IMAGE_UNREADABLE",
        )
    return ImageError(f"{shown(name)}: no such file", reason="IMAGE_UNREADABLE")


def _unreadable(name: str, error: OSError | ValueError) -> ImageError | FileError:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENAMETOOLONG and _BASE64.fullmatch(name):
        return _missing(name)
    cause = (error.strerror if isinstance(error, OSError) else None) or str(error)
    if number in MACHINE_ERRORS:
        return FileError(f"cannot read {shown(name)}: {cause.lower()}")
    return ImageError(f"{shown(name)!r}: {cause}", reason="IMAGE_UNREADABLE")


def _read_file(file: BinaryIO) -> bytes:
    name = shown(str(getattr(file, "name", "the file")))
    try:
        return _read_bounded(file, name)
    except (OSError, ValueError) as error:  # ValueError: a closed file
        raise _unreadable(name, error) from error


def _read_bounded(file: BinaryIO, name: str) -> bytes:
    """Read to the end, up to the limit: the size of pipes and devices is unknown."""
    data = file.read(MAX_BYTES + 1)
    if not isinstance(data, bytes):
        raise ImageError(f"{name} is not open for reading bytes; open it with mode 'rb'", reason="IMAGE_UNREADABLE")
    if len(data) > MAX_BYTES:
        raise ImageError(
            f"{name} has more than {MAX_BYTES / 2**20:,.0f} MiB, the limit; use a smaller image",
            reason="IMAGE_TOO_LARGE",
        )
    return data


def _within(size: int, name: str, limit: int = MAX_BYTES) -> None:
    if size > limit:
        raise ImageError(
            f"{name} has {size / 2**20:,.1f} MiB, more than the limit of {limit / 2**20:,.1f}; use a smaller image",
            reason="IMAGE_TOO_LARGE",
        )


def _pixels(array: NDArray[np.uint8], color: Color) -> NDArray[np.uint8]:
    _within(array.nbytes, "the array")
    return check_array(array, color)


def _plain_pixels(image: Image.Image) -> NDArray[np.uint8] | None:
    """Return the pixels of a PIL image if it has no other information and is not too large, otherwise None."""
    if image.mode not in ("RGB", "L") or image.info.get("icc_profile") or "transparency" in image.info:
        return None
    if image.width * image.height * len(image.getbands()) > RAW_BYTES:
        return None
    try:
        upright = image.getexif().get(ExifTags.Base.Orientation, 1) == 1
        return _pixels(np.asarray(image), "rgb") if upright else None
    except (OSError, ValueError, SyntaxError) as error:  # of a file that PIL reads only now, and that is damaged
        raise ImageError(f"the PIL image cannot be read: {error}", reason="IMAGE_UNREADABLE") from error


def _picture(image: Image.Image) -> Image.Image:
    """Convert a PIL image to a mode that PNG supports; transparency and 16 bits are kept."""
    if 0 in image.size or image.mode == "F":
        raise ImageError(
            f"a PIL image must have pixels and a mode other than F, not {image!r}", reason="IMAGE_UNREADABLE"
        )
    _within(image.width * image.height * len(image.getbands()), "the PIL image")
    if image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        return image
    return image.convert("I;16" if image.mode.startswith("I") else "RGB")


def _encode(image: Image.Image) -> bytes:
    """Encode an image as PNG, with its EXIF orientation and colour profile."""
    buffer = io.BytesIO()
    try:
        exif = image.getexif()
        _picture(image).save(buffer, "PNG", compress_level=1, **({"exif": exif} if exif else {}))
    except (OSError, ValueError, SyntaxError) as error:  # of a file that PIL reads only now, and that is damaged
        raise ImageError(f"the PIL image cannot be read: {error}", reason="IMAGE_UNREADABLE") from error
    return buffer.getvalue()
