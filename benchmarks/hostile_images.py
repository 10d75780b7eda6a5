"""Small image files that are expensive to decode: bombs that must be refused, and the largest that are accepted."""

import io
import struct
import zlib
from collections.abc import Callable

from PIL import Image

WEBP_BOMB = (
    b"RIFF\x26\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x10\x00\x00\x00" + b"\xfe\x3f\x00" * 2 + b"VP8L\x02\x00\x00\x00/\x00"
)
"""46 bytes that declare 16,383 x 16,383 pixels."""

LARGE = (8000, 6000)
"""Width and height of the images that are accepted: 48 of the default limit's 50 million pixels."""


def scan_bomb(side: int = 256, scans: int = 10_000) -> bytes:
    """Return a progressive JPEG whose last scan is repeated; 10,000 take 120 KB, and half a minute to decode."""
    return repeat_last_scan(_encoded(Image.new("RGB", (side, side), "teal"), "JPEG", progressive=True), scans)


def repeat_last_scan(data: bytes, times: int) -> bytes:
    """Return the JPEG with its last scan `times` times more."""
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * times + data[-2:]


def png(width: int, height: int, *, alpha: bool = False) -> bytes:
    """Return a PNG of zeros."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer = zlib.compressobj(9)
    row = bytes(1 + width * (4 if alpha else 3))
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 6 if alpha else 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def tiff_with_huge_tile() -> bytes:
    """Return a TIFF of one pixel in a tile of 16,384 x 16,384."""
    tags = {256: 1, 257: 1, 258: 8, 259: 8, 262: 1, 277: 1, 322: 16_384, 323: 16_384, 324: 200, 325: 16}
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()]
    return b"II*\x00" + struct.pack("<IH", 8, len(tags)) + b"".join(entries) + bytes(100)


BOMBS: dict[str, Callable[[], bytes]] = {
    "JPEG, 10,000 scans": scan_bomb,
    "WebP, 46 bytes": lambda: WEBP_BOMB,
    "PNG, 1 x 50,000,000": lambda: png(1, 50_000_000),
    "TIFF, huge tile": tiff_with_huge_tile,
}
"""Files that are refused by their header."""

LARGEST: dict[str, Callable[[], bytes]] = {
    "JPEG, 48 MP, progressive": lambda: _large("JPEG", "RGB", progressive=True, quality=60),
    "WebP, 48 MP": lambda: _large("WEBP", "RGBA", quality=50, method=0),
    "PNG, 48 MP": lambda: _large("PNG", "RGBA", compress_level=6),
    "TIFF, 48 MP": lambda: _large("TIFF", "RGBA", compression="tiff_adobe_deflate"),
}
"""The most expensive files that are accepted by default."""


def _large(kind: str, mode: str, **options: object) -> bytes:
    """Return a picture that no decoder can shortcut, and that must be turned."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.effect_mandelbrot((LARGE[0] // 32, LARGE[1] // 32), (-2.0, -1.5, 1.0, 1.5), 40).resize(LARGE)
    picture = Image.merge("RGB", (picture, picture.transpose(Image.Transpose.ROTATE_180), picture))
    if mode == "RGBA":
        alpha = Image.new("L", LARGE, 128)
        alpha.paste(255, (0, 0, LARGE[0] // 2, LARGE[1]))
        picture.putalpha(alpha)
    return _encoded(picture, kind, exif=exif, **options)


def _encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()
