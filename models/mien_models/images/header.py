"""Checks on the bytes of an image file that come before any decoder allocates memory for it."""

import struct

MAX_SIDE = 65_535
"""Longest side of an image, in pixels: JPEG's own limit. Decoders keep a pointer and a margin for every row."""

MAX_TILE_PIXELS = 16_777_216
"""Pixels of one tile of a TIFF, for which libtiff allocates a buffer whatever the size of the image."""


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Return the width and height, in pixels, that a WebP file declares; None if its header is not one.

    Pillow allocates both canvases of the animation decoder when it opens the file.
    Source: RFC 9649, WebP Image Format, sections 2.5 to 2.7.
    """
    if len(data) < 30 or data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None
