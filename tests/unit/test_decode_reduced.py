"""Tests of decoding large JPEGs at a fraction of their size."""

import numpy as np
import pytest

from mien_models.images.decode import decode

from ..images import encode, exif, scene


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
