"""Tests of WebP: the same pixels as Pillow's, of an animation the first frame."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mien_models.images.decode import decode
from mien_models.images.errors import ImageError
from tests.photographs import EXAMPLE


def picture(mode: str) -> Image.Image:
    """Return a photograph; with an alpha channel, every transparency from left to right."""
    with Image.open(EXAMPLE) as file:
        image = file.convert("RGB").resize((200, 150))
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").rotate(90).resize(image.size))
    return image


def webp(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", **options)
    return buffer.getvalue()


def over_white(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as file:
        ground = Image.new("RGBA", file.size, "white")
        return np.asarray(Image.alpha_composite(ground, file.convert("RGBA")).convert("RGB"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("animated", [False, True])
def test_the_pixels_are_those_of_pillow(mode: str, lossless: bool, animated: bool) -> None:
    frames = {"save_all": True, "append_images": [picture(mode).rotate(180)]} if animated else {}
    data = webp(picture(mode), lossless=lossless, **frames)
    assert (b"ANMF" in data) == animated
    assert np.array_equal(decode(data).pixels, over_white(data))


def animation(left: int, top: int, width: int, height: int) -> bytes:
    """Return an animation of 200 x 150 pixels, whose first frame is at the given place, in units of the header."""
    still = webp(picture("RGB"), lossless=True)[12:]
    header = b"".join(number.to_bytes(3, "little") for number in (left, top, width - 1, height - 1)) + bytes(4)
    frame = b"ANMF" + (len(header) + len(still)).to_bytes(4, "little") + header + still
    canvas = bytes([2, 0, 0, 0]) + (219).to_bytes(3, "little") + (169).to_bytes(3, "little")
    body = b"WEBPVP8X\x0a\0\0\0" + canvas + b"ANIM\x06\0\0\0" + bytes(6) + frame
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def test_a_frame_smaller_than_the_canvas_is_laid_over_white() -> None:
    pixels = decode(animation(5, 10, 200, 150)).pixels
    assert pixels.shape == (170, 220, 3)
    assert np.array_equal(pixels[20:, 10:210], np.asarray(picture("RGB")))
    assert (pixels[:20] == 255).all()
    assert (pixels[:, :10] == 255).all()
    assert (pixels[:, 210:] == 255).all()


@pytest.mark.parametrize("place", [(11, 0, 200, 150), (0, 11, 200, 150), (0, 0, 199, 150), (0, 0, 200, 151)])
def test_a_frame_beyond_the_canvas_or_of_another_size_is_refused(place: tuple[int, int, int, int]) -> None:
    with pytest.raises(ImageError) as refused:
        decode(animation(*place))
    assert refused.value.reason == "IMAGE_UNDECODABLE"
