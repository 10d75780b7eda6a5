"""Tests of decoding: accepted and rejected files."""

import io
import random
import struct
import time
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from mien_models.images.decode import FORMATS, ImageError, ImageLimits, decode

ASTRONAUT = Path(__file__).resolve().parents[2] / "examples" / "astronaut.jpg"
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


def test_empty_bytes_are_rejected() -> None:
    assert refusal(b"") == "IMAGE_EMPTY"


@pytest.mark.parametrize(
    "data", [b"Dear Sir or Madam", b"\x00", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", bytes(999)]
)
def test_other_bytes_are_rejected(data: bytes) -> None:
    assert refusal(data) == "IMAGE_UNDECODABLE"


@pytest.mark.parametrize(
    "data", [b"%PDF-1.7 ...", b"8BPS\x00\x01", b"\x00\x00\x00\x20ftypavif", b"\x00\x00\x00\x20ftypisom"]
)
def test_other_known_files_are_refused_by_name(data: bytes) -> None:
    assert refusal(data) == "IMAGE_FORMAT_UNSUPPORTED"


def test_32_bit_pixels_are_refused() -> None:
    assert refusal(encode(Image.new("F", (4, 4), 0.5), "TIFF")) == "IMAGE_FORMAT_UNSUPPORTED"


def test_a_file_of_too_many_bytes_is_refused() -> None:
    assert refusal(encode(scene(), "PNG"), ImageLimits(max_bytes=100)) == "IMAGE_TOO_LARGE"


def test_the_pixel_limit_is_exact() -> None:
    data = encode(scene(), "JPEG")

    assert refusal(data, ImageLimits(max_pixels=48 * 32 - 1)) == "IMAGE_TOO_LARGE"
    assert decode(data, ImageLimits(max_pixels=48 * 32)).pixels.shape == (32, 48, 3)


@pytest.mark.parametrize("side", [8_000, 30_000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb_is_rejected_in_little_memory(side: int) -> None:
    bomb = png(side, side, 8, 2, bytes(1_000_000))
    refusal(bomb)

    tracemalloc.start()
    begin = time.perf_counter()
    reason = refusal(bomb)
    seconds = time.perf_counter() - begin
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert reason == "IMAGE_TOO_LARGE"
    assert seconds < 0.1
    assert peak < 1_000_000


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "JPEG"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_file_cut_short_is_refused(kind: str, share: float) -> None:
    data = encode(ImageOps.contain(Image.open(ASTRONAUT), (128, 128)), kind)

    assert refusal(data[: int(len(data) * share)]) == "IMAGE_UNDECODABLE"


def test_a_jpeg_without_its_end_marker_is_whole() -> None:
    data = encode(scene(), "JPEG")
    decoded = decode(data[:-2])

    assert np.array_equal(decoded.pixels, decode(data).pixels)
    assert decoded.data_missing
    assert not decode(data).data_missing


@pytest.mark.parametrize("enough", [None, 250])
def test_a_jpeg_that_ends_too_early_is_decoded_as_far_as_it_goes(enough: int | None) -> None:
    data = ASTRONAUT.read_bytes()
    cut, whole = decode(data[: len(data) * 2 // 3], enough=enough), decode(data, enough=enough)

    assert cut.data_missing
    assert cut.pixels.shape == whole.pixels.shape
    upper = len(whole.pixels) // 2
    assert np.array_equal(cut.pixels[:upper], whole.pixels[:upper])


def test_a_jpeg_with_little_data_is_rejected() -> None:
    data = ASTRONAUT.read_bytes()

    assert refusal(data[: len(data) // 10]) == "IMAGE_UNDECODABLE"
    assert refusal(data[:700]) == "IMAGE_UNDECODABLE"


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_cut_anywhere_is_flagged_or_refused(progressive: bool) -> None:
    data = encode(scene(), "JPEG", progressive=progressive)
    for length in range(1, len(data)):
        try:
            assert decode(data[:length]).data_missing, length
        except ImageError:
            continue


@pytest.mark.filterwarnings("ignore")
def test_no_mutated_file_raises_anything_but_an_image_error() -> None:
    chance = random.Random(0)
    picture = ImageOps.contain(Image.open(ASTRONAUT), (40, 40))
    files = [encode(picture, kind, **({} if kind in ("BMP", "GIF") else {"exif": exif(6)})) for kind in FORMATS]
    files += [encode(picture.convert(mode), "TIFF", compression="tiff_lzw") for mode in ("CMYK", "L")]
    for _ in range(600):
        data = bytearray(chance.choice(files))
        reach = len(data) if chance.random() < 0.5 else min(len(data), 200)
        for _ in range(chance.choice((1, 3, 10))):
            data[chance.randrange(reach)] = chance.choice((0, 127, 255, chance.randrange(256)))
        del data[chance.choice((len(data), chance.randrange(1, len(data)))) :]
        try:
            pixels = decode(bytes(data)).pixels
        except ImageError:
            continue
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("enough", "shrunk"), [(None, 1), (401, 1), (400, 2), (250, 2), (200, 4), (60, 8)])
def test_a_large_jpeg_comes_out_shrunk_but_not_below_what_is_enough(
    enough: int | None, shrunk: int, orientation: int
) -> None:
    data = encode(scene().resize((801, 533)), "JPEG", quality=95, exif=exif(orientation))
    whole = decode(data)

    decoded = decode(data, enough=enough)

    assert decoded.shrunk == shrunk
    assert (decoded.width, decoded.height) == (whole.width, whole.height) == whole.pixels.shape[1::-1]
    assert decoded.pixels.shape == (-(-whole.height // shrunk), -(-whole.width // shrunk), 3)
    assert decoded.exif_orientation == orientation
    down, across = (size // shrunk * shrunk for size in whole.pixels.shape[:2])
    if orientation == 1:  # turned, the last block may be the first
        blocks = whole.pixels[:down, :across].reshape(down // shrunk, shrunk, across // shrunk, shrunk, 3)
        mean = blocks.astype(float).mean(axis=(1, 3))
        assert np.abs(decoded.pixels[: down // shrunk, : across // shrunk] - mean).mean() < 2


def test_only_jpegs_are_decoded_at_reduced_size() -> None:
    assert decode(encode(scene().resize((801, 533)), "PNG"), enough=100).shrunk == 1
