"""Tests of files that are rejected or truncated."""

import random
import time
import tracemalloc

import numpy as np
import pytest
from PIL import Image, ImageOps

from mien_models.images.decode import decode
from mien_models.images.errors import ImageError
from mien_models.images.formats import FORMATS
from mien_models.images.limits import ImageLimits

from ..images import ASTRONAUT, encode, exif, png, refusal, scene


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
