"""Tests that raw pixels equal the encoded image, and that inconsistent sizes are rejected."""

import tracemalloc

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mien_models.images.errors import ImageError
from mien_models.images.limits import ImageLimits
from mien_models.images.raw import PixelFormat, RawImage, convert, peak_bytes

LIMITS = ImageLimits(max_pixels=70_000)
PICTURE: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


def raw(kind: PixelFormat, data: bytes, width: int = 8, height: int = 6, stride: int = 0) -> RawImage:
    return RawImage(kind, width, height, stride, data)


def test_rgb_is_taken_as_it_is() -> None:
    decoded = convert(raw("RGB", PICTURE.tobytes()), LIMITS)
    assert np.array_equal(decoded.pixels, PICTURE)
    assert (decoded.width, decoded.height, decoded.format, decoded.shrunk) == (8, 6, "RGB", 1)


def test_bgr_is_swapped() -> None:
    assert np.array_equal(convert(raw("BGR", PICTURE[:, :, ::-1].tobytes()), LIMITS).pixels, PICTURE)


def test_grey_has_three_equal_channels() -> None:
    pixels = convert(raw("GRAY", PICTURE[:, :, 0].tobytes()), LIMITS).pixels
    assert np.array_equal(pixels, np.repeat(PICTURE[:, :, :1], 3, axis=2))


def test_nv12_is_as_opencv_converts_it() -> None:
    smooth = np.full((6, 8, 3), (200, 90, 40), np.uint8)
    i420 = cv2.cvtColor(smooth, cv2.COLOR_RGB2YUV_I420).reshape(-1)
    luma, blue, red = i420[:48], i420[48:60], i420[60:]
    nv12 = np.concatenate([luma, np.stack([blue, red], axis=1).reshape(-1)])
    pixels = convert(raw("NV12", nv12.tobytes()), LIMITS).pixels
    assert np.abs(pixels.astype(int) - smooth).max() <= 3


@pytest.mark.parametrize("whole", [True, False], ids=["with the last gap", "without it"])
def test_a_stride_skips_the_gap_between_rows(whole: bool) -> None:
    rows = np.zeros((6, 32), np.uint8)
    rows[:, :24] = PICTURE.reshape(6, 24)
    data = rows.tobytes() if whole else rows.tobytes()[:-8]
    assert np.array_equal(convert(raw("RGB", data, stride=32), LIMITS).pixels, PICTURE)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (raw("RGB", b""), "IMAGE_UNDECODABLE"),
        (raw("RGB", bytes(143)), "IMAGE_UNDECODABLE"),
        (raw("RGB", bytes(145)), "IMAGE_UNDECODABLE"),
        (raw("RGB", bytes(144), stride=23), "IMAGE_UNDECODABLE"),
        (raw("NV12", bytes(75), width=7), "IMAGE_UNDECODABLE"),
        (raw("RGB", b"", width=0), "IMAGE_EMPTY"),
        (raw("GRAY", bytes(80_000), width=200, height=400), "IMAGE_TOO_LARGE"),
        (raw("GRAY", bytes(65_536), width=65_536, height=1), "IMAGE_TOO_LARGE"),
        (raw("GRAY", bytes(65_536), width=1, height=65_536), "IMAGE_TOO_LARGE"),
        (raw("GRAY", b"", width=2**32 - 1, height=2**32 - 1), "IMAGE_TOO_LARGE"),
        (raw("YV12", bytes(144)), "IMAGE_FORMAT_UNSUPPORTED"),  # type: ignore[arg-type]
    ],
    ids=["none", "short", "long", "stride", "odd", "empty", "large", "wide", "tall", "huge", "format"],
)
def test_numbers_that_do_not_agree_are_refused(image: RawImage, reason: str) -> None:
    for read in (peak_bytes, convert):
        with pytest.raises(ImageError) as refused:
            read(image, LIMITS)
        assert refused.value.reason == reason


@pytest.mark.parametrize("gap", [0, 8])
@pytest.mark.parametrize("kind", ["RGB", "BGR", "GRAY", "NV12"])
def test_converting_takes_no_more_memory_than_its_peak(kind: PixelFormat, gap: int) -> None:
    stride = 400 * (1 if kind in ("GRAY", "NV12") else 3) + gap
    image = raw(kind, bytes(stride * (150 if kind == "NV12" else 100)), width=400, height=100, stride=stride)
    tracemalloc.start()
    decoded = convert(image, LIMITS)
    _, used = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert decoded.pixels.nbytes == 120_000
    assert used <= peak_bytes(image, LIMITS) + 10_000 == 250_000
