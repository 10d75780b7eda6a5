"""Small image files for tests of decoding."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien_models.images.decode import decode
from mien_models.images.errors import ImageError
from mien_models.images.limits import ImageLimits

ASTRONAUT = Path(__file__).resolve().parents[1] / "examples" / "astronaut.jpg"
LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}, "BMP": {}, "TIFF": {}}
ORIENTATION = 0x0112


def encode(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


def scene() -> Image.Image:
    """A smooth 48 x 32 image with four distinct corners: JPEG preserves it, and every rotation is detected."""
    down, across = np.mgrid[:32, :48]
    return Image.fromarray(np.stack([across * 5, down * 7, (across + down) * 3], axis=2).astype(np.uint8))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, data: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def refusal(data: bytes, limits: ImageLimits | None = None) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data, limits)
    assert "Send" in str(caught.value)
    return caught.value.reason
