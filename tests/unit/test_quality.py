"""Tests of face size and sharpness, and of their limits."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mien_models.faces import Faces
from mien_models.images.decode import decode
from mien_models.images.limits import ImageLimits
from mien_models.quality import CROP, QualityLimits, judge, sharpness
from tests.conftest import ROOT

NO_LIMITS = QualityLimits(min_face_px=0, min_sharpness=0)
PHOTO = decode(
    (ROOT / "examples" / "astronaut.jpg").read_bytes(), ImageLimits(max_bytes=2**20, max_pixels=2**20)
).pixels
FACE = (180.0, 70.0, 90.0, 115.0)
"""Where the astronaut's face is: x, y, width, height in pixels."""


def noise(count: int, *, seed: int = 0, most: int = 256) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, most, (count, CROP.size, CROP.size, 3), np.uint8)


def faces(*boxes: tuple[float, ...]) -> Faces:
    return Faces(np.array(boxes, np.float32).reshape(-1, 4))


def sharpness_of(image: NDArray[np.uint8], scale: float = 1) -> float:
    return float(judge(image, faces(tuple(scale * edge for edge in FACE)), NO_LIMITS).sharpness[0])


def blurred(sigma: float) -> NDArray[np.uint8]:
    return np.asarray(cv2.GaussianBlur(PHOTO, (0, 0), sigma), np.uint8)


def resized(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=how), np.uint8)


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(0, 55))
def test_brightness_and_contrast_do_not_matter(seed: int, contrast: int, brightness: int) -> None:
    plain = noise(1, seed=seed, most=50)
    changed = plain * np.uint8(contrast) + np.uint8(brightness)
    assert sharpness(changed) == pytest.approx(sharpness(plain), rel=1e-3)


@given(st.lists(st.integers(0, 255), min_size=64, max_size=64))
def test_sharpness_stays_in_its_range(values: list[int]) -> None:
    grey = np.array(values, np.uint8).reshape(1, 8, 8, 1)
    assert 0 <= sharpness(np.repeat(grey, 3, axis=3))[0] < 1


def test_sharpness_of_flat_noisy_and_chessboard_images() -> None:
    flat = np.full((1, 16, 16, 3), 77, np.uint8)
    chessboard = np.indices((16, 16)).sum(0) % 2 * np.uint8(255)
    chessboard = np.repeat(chessboard.astype(np.uint8)[None, :, :, None], 3, axis=3)
    assert sharpness(flat)[0] == 0
    assert sharpness(noise(50)).mean() == pytest.approx(0.62, abs=0.02)
    assert 0.9 < sharpness(chessboard)[0] < 1


def test_more_blur_is_less_sharp() -> None:
    reported = [sharpness_of(PHOTO), *(sharpness_of(blurred(sigma)) for sigma in (2, 4, 6, 10))]
    assert reported == sorted(reported, reverse=True)
    assert reported[-1] < reported[0] / 3


def test_an_enlarged_small_face_is_not_sharp() -> None:
    small = resized(PHOTO, 12 / FACE[3])
    assert sharpness_of(resized(small, 4), 48 / FACE[3]) < 0.6 * sharpness_of(PHOTO)


@pytest.mark.parametrize("scale", [0.5, 2, 4])
def test_the_photographs_resolution_matters_little(scale: float) -> None:
    assert sharpness_of(resized(PHOTO, scale), scale) == pytest.approx(sharpness_of(PHOTO), rel=0.15)


def test_faces_below_a_limit_have_a_reason() -> None:
    x, y, width, height = FACE
    both = np.hstack([blurred(10), PHOTO])
    shown = faces(FACE, (512 + x, y, width, height), (512 + x, y, width / 10, height / 10))
    quality = judge(both, shown, QualityLimits(min_face_px=20, min_sharpness=0.12))
    assert quality.size_px.tolist() == pytest.approx([115, 115, 11.5])
    assert quality.too_small.tolist() == [False, False, True]
    assert quality.too_blurred.tolist()[:2] == [True, False]
    assert quality.answerable.tolist() == [1]


def test_without_limits_every_face_is_accepted() -> None:
    assert judge(np.zeros((50, 50, 3), np.uint8), faces((5, 5, 1, 1)), NO_LIMITS).answerable.tolist() == [0]
    assert judge(PHOTO, faces(), NO_LIMITS).answerable.tolist() == []


def test_a_face_past_the_edge_is_measured() -> None:
    quality = judge(PHOTO, faces((-60, -60, 90, 115), (480, 480, 300, 400), (900, 900, 50, 60)), NO_LIMITS)
    assert np.isfinite(quality.sharpness).all()
