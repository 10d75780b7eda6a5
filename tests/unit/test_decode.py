"""Tests of decoding: the pixels of every format, mode and orientation."""

import struct
import warnings

import numpy as np
import pytest
from PIL import Image

from mien_models.images.decode import decode

from ..images import LOSSLESS, encode, exif, png, scene


@pytest.mark.parametrize("kind", LOSSLESS)
def test_a_lossless_file_gives_its_pixels(kind: str) -> None:
    decoded = decode(encode(scene(), kind, **LOSSLESS[kind]))

    assert np.array_equal(decoded.pixels, np.asarray(scene()))
    assert decoded.pixels.dtype == np.uint8
    assert decoded.pixels.flags.c_contiguous
    assert (decoded.format, decoded.exif_orientation, decoded.orientation_applied) == (kind, 1, False)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_gives_rgb(progressive: bool) -> None:
    decoded = decode(encode(scene(), "JPEG", quality=95, progressive=progressive))

    assert decoded.format == "JPEG"
    assert np.abs(decoded.pixels.astype(int) - np.asarray(scene())).max() < 12


def test_a_heic_gives_rgb() -> None:
    decoded = decode(encode(scene(), "HEIF", quality=95))

    assert decoded.format == "HEIF"
    assert np.abs(decoded.pixels.astype(int) - np.asarray(scene())).mean() < 8


def test_a_jpeg_with_further_pictures_behind_it_is_a_jpeg() -> None:
    data = encode(scene(), "MPO", save_all=True, append_images=[scene().transpose(Image.Transpose.ROTATE_180)])

    decoded = decode(data)

    assert decoded.format == "JPEG"
    assert np.abs(decoded.pixels.astype(int) - np.asarray(scene())).mean() < 8


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    options = {**LOSSLESS.get(kind, {"quality": 95, "subsampling": 0}), "exif": exif(orientation)}
    data = encode(scene(), kind, **options)

    decoded = decode(data)

    expected = np.asarray(scene())
    if orientation in (5, 6, 7, 8):
        expected = expected.transpose(1, 0, 2)
    if orientation in (2, 6, 3, 7):
        expected = expected[:, ::-1]
    if orientation in (3, 4, 7, 8):
        expected = expected[::-1]
    assert decoded.pixels.shape == expected.shape
    assert np.abs(decoded.pixels.astype(int) - expected).max() < (12 if kind == "JPEG" else 1)
    assert decoded.pixels.flags.c_contiguous
    assert decoded.exif_orientation == orientation
    assert decoded.orientation_applied == (orientation != 1)


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_invalid_orientation_is_ignored(orientation: int) -> None:
    decoded = decode(encode(scene(), "JPEG", exif=exif(orientation)))

    assert decoded.exif_orientation == 1
    assert decoded.pixels.shape == (32, 48, 3)


def test_corrupt_exif_is_ignored() -> None:
    data = encode(scene(), "JPEG", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff rubbish")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        decoded = decode(data)

    assert decoded.exif_orientation == 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_grey_becomes_three_equal_channels(kind: str) -> None:
    pixels = decode(encode(scene().convert("L"), kind)).pixels

    assert pixels.shape == (32, 48, 3)
    assert np.array_equal(pixels[:, :, 0], pixels[:, :, 1])
    assert np.array_equal(pixels[:, :, 0], pixels[:, :, 2])


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparent_pixels_are_composited_on_white(mode: str) -> None:
    channels = len(mode)
    stored = np.full((1, 3, channels), 100, np.uint8)
    stored[0, :, -1] = (0, 255, 128)

    pixels = decode(encode(Image.fromarray(stored), "PNG")).pixels

    assert pixels[0, 0].tolist() == [255] * 3
    assert pixels[0, 1].tolist() == [100] * 3
    assert pixels[0, 2].tolist() == pytest.approx([177] * 3, abs=1)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF"])
def test_a_palette_image_is_decoded(kind: str) -> None:
    stored = scene().convert("P", palette=Image.Palette.ADAPTIVE, colors=16)

    assert np.array_equal(decode(encode(stored, kind)).pixels, np.asarray(stored.convert("RGB")))


def test_a_transparent_palette_colour_is_composited_on_white() -> None:
    stored = Image.new("P", (2, 1))
    stored.putpalette([10, 20, 30, 40, 50, 60])
    stored.putdata([0, 1])

    assert decode(encode(stored, "PNG", transparency=0)).pixels[0].tolist() == [[255, 255, 255], [40, 50, 60]]


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_not_inverted(kind: str) -> None:
    # Pillow writes a CMYK JPEG as Adobe does, inverted and marked so; a TIFF as it is.
    stored = Image.new("CMYK", (16, 16), (0, 255, 255, 0))

    assert decode(encode(stored, kind)).pixels[8, 8].tolist() == pytest.approx([255, 0, 0], abs=3)


@pytest.mark.parametrize(("kind", "order"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2")])
def test_16_bit_grey_is_scaled_not_clipped(kind: str, order: str) -> None:
    stored = np.array([[0, 255, 256, 0x8000, 0xFFFF]], order)

    assert decode(encode(Image.fromarray(stored), kind)).pixels[0, :, 0].tolist() == [0, 0, 1, 128, 255]


def test_16_bit_rgb_png_is_scaled() -> None:
    data = png(2, 1, 16, 2, b"\x00" + struct.pack(">6H", 0, 0x8000, 0xFFFF, 0x1234, 0x00FF, 0xFF00))

    assert decode(data).pixels[0].tolist() == [[0, 128, 255], [0x12, 0, 255]]


def test_16_bit_rgb_tiff_is_scaled() -> None:
    # Of one pixel: width, height, bits (three, at 122), compression, RGB, data (at 128), samples, rows, bytes.
    tags = {256: 1, 257: 1, 258: 122, 259: 1, 262: 2, 273: 128, 277: 3, 278: 1, 279: 6}
    counts = {258: 3}
    entries = [struct.pack("<HHII", tag, 3, counts.get(tag, 1), value) for tag, value in tags.items()]
    data = b"II*\x00" + struct.pack("<IH", 8, len(tags)) + b"".join(entries) + bytes(4)
    data += struct.pack("<3H", 16, 16, 16) + struct.pack("<3H", 0, 0x8000, 0xFFFF)

    assert decode(data).pixels[0, 0].tolist() == [0, 128, 255]


def test_the_first_frame_of_an_animation_is_decoded() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]

    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])

    assert decode(data).pixels[0, 0].tolist() == [255, 0, 0]


def test_an_image_of_one_pixel_is_decoded() -> None:
    assert decode(encode(Image.new("RGB", (1, 1), "red"), "PNG")).pixels.tolist() == [[[255, 0, 0]]]
