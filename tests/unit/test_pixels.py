"""Tests of the layouts of arrays: RGB, BGR, grey and NV12, as raw pixels, as PNG and as RGB to draw on."""

import io

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import mien
from mien.images import RAW_BYTES, image_bytes, raw_image
from mien.v1 import face_service_pb2 as pb
from mien_models.images import raw
from mien_models.images.limits import ImageLimits

from ..photographs import EXAMPLE


def example() -> NDArray[np.uint8]:
    with Image.open(EXAMPLE) as file:
        return np.asarray(file.convert("RGB").resize((320, 320)))


def nv12_of(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the NV12 array of an RGB picture, made by OpenCV."""
    height, width = rgb.shape[:2]
    planes = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420).reshape(-1)
    chroma = planes[height * width :].reshape(2, -1)
    return np.concatenate([planes[: height * width], chroma.T.reshape(-1)]).reshape(height * 3 // 2, width)


def decoded(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as opened:
        return np.asarray(opened)


def as_the_server_reads(message: pb.RawImage | None) -> NDArray[np.uint8]:
    assert message
    kind = pb.PixelFormat.Name(message.format).removeprefix("PIXEL_FORMAT_")
    image = raw.RawImage(kind, message.width, message.height, message.stride, message.data)  # type: ignore[arg-type]
    return raw.convert(image, ImageLimits()).pixels


def test_bgr_and_nv12_arrays_are_sent_as_they_are() -> None:
    rgb = example()[:200]
    bgr = raw_image(rgb[:, :, ::-1], "bgr")
    assert bgr
    assert (bgr.format, bgr.width, bgr.height) == (pb.PIXEL_FORMAT_BGR, 320, 200)
    assert np.array_equal(as_the_server_reads(bgr), rgb)
    nv12 = raw_image(nv12_of(rgb), "nv12")
    assert nv12
    assert (nv12.format, nv12.width, nv12.height) == (pb.PIXEL_FORMAT_NV12, 320, 200)
    assert nv12.data == nv12_of(rgb).tobytes()


def test_a_grey_array_is_grey_in_rgb_and_bgr() -> None:
    grey = example()[:, :, 1]
    for color in ("rgb", "bgr"):
        message = raw_image(grey, color)
        assert message
        assert message.format == pb.PIXEL_FORMAT_GRAY
        assert np.array_equal(decoded(image_bytes(grey, color)), grey)


def test_png_has_the_colours_that_the_server_converts_to() -> None:
    rgb = example()
    assert np.array_equal(decoded(image_bytes(rgb[:, :, ::-1], "bgr")), rgb)
    nv12 = np.random.default_rng(0).integers(0, 256, (3 * 290, 64), np.uint8)  # more rows than a strip, any value
    converted = as_the_server_reads(raw_image(nv12, "nv12"))
    encoded = decoded(image_bytes(nv12, "nv12"))
    assert encoded.shape == (580, 64, 3)
    assert np.abs(encoded.astype(int) - converted).max() <= 1


def test_large_arrays_of_every_layout_are_encoded() -> None:
    tall = np.zeros((RAW_BYTES // 64 // 3 * 3 + 3, 64), np.uint8)
    assert tall.nbytes > RAW_BYTES
    for color in ("rgb", "bgr", "nv12"):
        assert raw_image(tall, color) is None


@pytest.mark.parametrize(
    ("shape", "color", "match"),
    [
        ((7, 4), "nv12", r"\(H \* 3 / 2, W\) uint8 NV12 with even H and W, not \(7, 4\)"),
        ((6, 5), "nv12", "even H and W"),
        ((6, 4, 3), "nv12", "pass color='rgb' or 'bgr'"),
        ((6, 4, 4), "bgr", r"BGR .* remove the alpha channel: array\[:, :, :3\]"),
        ((0, 4), "nv12", "uint8 NV12"),
    ],
)
def test_an_array_of_another_layout_is_refused(shape: tuple[int, ...], color: str, match: str) -> None:
    for read in (raw_image, image_bytes):
        with pytest.raises(mien.ImageError, match=match):
            read(np.zeros(shape, np.uint8), color)  # type: ignore[operator]


def test_a_layout_is_known_and_given_for_an_array_alone() -> None:
    for color in ("BGR", "yuv", None):
        with pytest.raises(mien.InvalidRequestError, match="color must be one of 'rgb', 'bgr', 'nv12'"):
            raw_image(example(), color)  # type: ignore[arg-type]
    for image in (EXAMPLE, EXAMPLE.read_bytes(), Image.new("RGB", (4, 4))):
        with pytest.raises(mien.InvalidRequestError, match="color='bgr' is for NumPy arrays"):
            image_bytes(image, "bgr")


def test_every_layout_is_drawn_on_in_rgb() -> None:
    rgb, empty = example(), mien.Analysis.from_message(pb.AnalyzeResponse())
    assert np.array_equal(mien.draw(rgb[:, :, ::-1], empty, color="bgr"), rgb)
    drawn = mien.draw(nv12_of(rgb), empty, color="nv12")
    assert drawn.shape == rgb.shape
    assert np.abs(drawn.astype(int) - rgb).mean() < 6
