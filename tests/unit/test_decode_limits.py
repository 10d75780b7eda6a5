"""Tests of small files that would take much time or memory to decode."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from hostile_images import repeat_last_scan, tiff_with_huge_tile
from mien_models.images.decode import decode
from mien_models.images.errors import ImageError
from mien_models.images.jpeg_scans import count_scans
from mien_models.images.limits import ImageLimits


def jpeg(side: int = 64, **options: object) -> bytes:
    buffer = io.BytesIO()
    down, across = np.mgrid[:side, :side]
    stored = np.stack([across, down, across ^ down], axis=2).astype(np.uint8)
    Image.fromarray(stored).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def test_scan_bomb_is_refused_before_decoding() -> None:
    bomb = repeat_last_scan(jpeg(256, progressive=True), 5_000)

    with pytest.raises(ImageError, match="more than 100 scans") as caught:
        decode(bomb)

    assert caught.value.reason == "IMAGE_TOO_COMPLEX"


def test_scans_are_bounded_by_the_number_of_pixels() -> None:
    data = repeat_last_scan(jpeg(progressive=True), 30)

    assert decode(data).width == 64
    with pytest.raises(ImageError, match="scans"):
        decode(data, ImageLimits(max_pixels=64 * 64))


@pytest.mark.parametrize("progressive", [False, True])
def test_a_normal_jpeg_of_the_largest_size_is_decoded(progressive: bool) -> None:
    assert decode(jpeg(progressive=progressive), ImageLimits(max_pixels=64 * 64)).width == 64


def test_scans_in_segments_and_behind_the_picture_do_not_count() -> None:
    data = jpeg()
    noise = b"\xff\xda\x00\x02" * 1000
    segment = b"\xff\xee" + struct.pack(">H", len(noise) + 2) + noise

    assert count_scans(data[:2] + segment + data[2:] + noise) == 1
    assert decode(data[:2] + segment + data[2:] + noise).width == 64


def test_transparency_is_composited_alike_in_every_strip() -> None:
    stored = np.random.default_rng(0).integers(0, 256, (1500, 1001, 4), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, "PNG", compress_level=1)

    ground = Image.new("RGBA", (1001, 1500), "white")
    expected = np.asarray(Image.alpha_composite(ground, Image.fromarray(stored)).convert("RGB"))
    assert np.array_equal(decode(buffer.getvalue()).pixels, expected)


@pytest.mark.parametrize("brand", [b"mif1", b"mif3", b"msf1", b"heix", b"hevc"])
def test_heif_brands_are_not_called_video(brand: bytes) -> None:
    with pytest.raises(ImageError) as caught:
        decode(b"\x00\x00\x00\x18ftyp" + brand)
    assert "video" not in str(caught.value)


def test_a_tiff_with_a_huge_tile_is_refused() -> None:
    with pytest.raises(ImageError, match="tiles of 16384 x 16384") as caught:
        decode(tiff_with_huge_tile())
    assert caught.value.reason == "IMAGE_TOO_COMPLEX"
