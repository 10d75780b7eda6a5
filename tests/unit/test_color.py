"""Tests of the conversion to sRGB by the profile in the file."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mien_models.images.color import convert_to_srgb
from mien_models.images.decode import decode
from tests.profiles import profile, swapped

PICTURE: NDArray[np.uint8] = np.full((40, 30, 3), (200, 60, 90), np.uint8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_the_profile_of_a_file_is_applied(kind: str) -> None:
    options: dict[str, Any] = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    options |= {"lossless": True} if kind == "WEBP" else {}
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, kind, icc_profile=swapped(), **options)
    pixels = decode(buffer.getvalue()).pixels
    assert np.abs(pixels.astype(int) - (90, 60, 200)).max() <= 4


@pytest.mark.parametrize("data", [None, b"", b"rubbish", profile("sRGB"), profile("LAB"), profile("XYZ"), bytes(2**21)])
def test_other_profiles_change_nothing(data: bytes | None) -> None:
    pixels = PICTURE.copy()
    convert_to_srgb(pixels, data)
    assert np.array_equal(pixels, PICTURE)


def test_a_large_picture_is_converted_in_strips() -> None:
    large = np.broadcast_to(PICTURE[:1, :1], (3000, 3000, 3)).copy()
    small = PICTURE.copy()
    for pixels in (large, small):
        convert_to_srgb(pixels, swapped())
    assert not np.array_equal(small, PICTURE)
    assert (large == small[0, 0]).all()
