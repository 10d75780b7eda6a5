"""Tests of rotated, unusual, huge and corrupt images over gRPC: the same faces or a clear error, in bounded memory."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from PIL import Image

import mien
from tests.photographs import EXAMPLE, encoded, numbers

ORIENTATION = 0x0112
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How an upright picture is stored so that its EXIF orientation brings it upright again."""


@pytest.fixture(scope="module")
def client(single: str) -> Iterator[mien.Client]:
    with mien.Client(single, timeout=120) as client:
        yield client


def example(mode: str = "RGB") -> Image.Image:
    """The example, which is not square, so that a wrong rotation is detected."""
    with Image.open(EXAMPLE) as file:
        return file.convert("RGB").crop((0, 0, 512, 400)).convert(mode)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", STORED)
def test_every_exif_orientation_has_the_same_faces_in_the_upright_frame(
    client: mien.Client, kind: str, orientation: int
) -> None:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    how = STORED[orientation]
    stored = example() if how is None else example().transpose(how)
    # At quality 95 the rounding decides between two cells of the detector with equal scores and boxes 4 pixels apart.
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    analysis = client.analyze(encoded(stored, kind, exif=tags, **options))
    upright = client.analyze(encoded(example(), kind, **options))
    assert (analysis.image.width, analysis.image.height) == (512, 400)
    assert analysis.image.exif_orientation == orientation
    # A JPEG's blocks lie elsewhere in a turned picture, so its pixels are not quite the same.
    box, years, shares = (0, 0, 0) if kind == "PNG" else (2, 2, 0.1)
    difference = np.abs(numbers(analysis.message) - numbers(upright.message))
    assert difference[:4].max() <= box
    assert difference[4:7].max() <= years
    assert difference[7:].max() <= shares


def odd() -> dict[str, bytes]:
    """Photographs of the example that are odd, but whole."""
    deep = Image.fromarray(np.asarray(example("L")).astype(np.uint16) * 257)
    transparent = example("RGBA")
    frames = [example("P"), Image.new("P", (512, 400))]
    return {
        "grey JPEG": encoded(example("L"), "JPEG"),
        "CMYK JPEG": encoded(example("CMYK"), "JPEG"),
        "progressive JPEG": encoded(example(), "JPEG", progressive=True),
        "alpha PNG": encoded(transparent, "PNG"),
        "16-bit PNG": encoded(deep, "PNG"),
        "palette PNG": encoded(example("P"), "PNG"),
        "animated GIF": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "WebP": encoded(example(), "WEBP"),
        "TIFF": encoded(example(), "TIFF", compression="tiff_lzw"),
        "BMP": encoded(example(), "BMP"),
    }


@pytest.mark.parametrize("name", odd())
def test_unusual_formats_have_the_examples_face(client: mien.Client, name: str) -> None:
    (found,) = client.analyze(odd()[name]).faces
    (expected,) = client.analyze(encoded(example(), "PNG")).faces
    assert abs(found.box.x - expected.box.x) < 0.15 * expected.box.width
    assert abs(found.box.height - expected.box.height) < 0.15 * expected.box.height


def test_an_image_of_one_pixel_has_no_face(client: mien.Client) -> None:
    analysis = client.analyze(encoded(Image.new("RGB", (1, 1)), "PNG"))
    assert (analysis.image.width, analysis.faces) == (1, ())


def bomb(side: int) -> bytes:
    """Return a PNG file of a few KB with `side` x `side` black pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + side)) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def broken() -> dict[str, tuple[bytes, str]]:
    """Files that are refused, and the reason."""
    jpeg, png = encoded(example(), "JPEG"), encoded(example(), "PNG")
    return {
        "no bytes": (b"", "IMAGE_EMPTY"),
        "zeros": (bytes(5000), "IMAGE_UNDECODABLE"),
        "a tenth of a JPEG": (jpeg[: len(jpeg) // 10], "IMAGE_UNDECODABLE"),
        "half a PNG": (png[: len(png) // 2], "IMAGE_UNDECODABLE"),
        "a JPEG without its head": (jpeg[300:], "IMAGE_UNDECODABLE"),
        "a PDF": (b"%PDF-1.7\n", "IMAGE_FORMAT_UNSUPPORTED"),
        "a bomb": (bomb(30_000), "IMAGE_TOO_LARGE"),
        "32-bit pixels": (encoded(Image.new("F", (9, 9)), "TIFF"), "IMAGE_FORMAT_UNSUPPORTED"),
    }


def test_a_corrupt_image_is_rejected_in_little_memory(client: mien.Client) -> None:
    """The server is in this process, whose memory would show a bomb's 900 MB."""
    client.analyze(EXAMPLE)
    files, process = broken(), psutil.Process()
    before = process.memory_info().rss
    for name, (data, reason) in files.items():
        with pytest.raises(mien.ImageError) as caught:
            client.analyze(data)
        assert caught.value.reason == reason, name
        assert "Send" in caught.value.message, name
        assert process.memory_info().rss - before < 200 * 2**20, name
    assert len(client.analyze(EXAMPLE).faces) == 1


def test_a_panorama_is_analyzed(client: mien.Client) -> None:
    pixels = np.asarray(example())
    strip = cv2.copyMakeBorder(pixels, 0, 0, 0, 8000, cv2.BORDER_REPLICATE)
    assert client.analyze(encoded(Image.fromarray(strip), "JPEG")).image.width == 8512


def test_a_non_ascii_file_name_is_read(client: mien.Client, tmp_path: Path) -> None:
    path = tmp_path / "Ångström 人 é.jpg"
    path.write_bytes(EXAMPLE.read_bytes())
    assert len(client.analyze(path).faces) == 1
