"""Tests of cropping, checked pixel by pixel where possible."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mien_models.crops import cut
from mien_models.faces import Faces
from mien_models.spec import CropSpec


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def boxed(x: float, y: float, width: float, height: float) -> Faces:
    return Faces(np.array([[x, y, width, height]], np.float32))


def with_eyes(faces: Faces, right: tuple[float, float], left: tuple[float, float]) -> Faces:
    points = np.zeros((1, 5, 2), np.float32)
    points[0, :2] = right, left
    return Faces(faces.boxes, points)


@pytest.mark.parametrize("size", [48, 64, 81])
def test_a_box_at_its_own_size_is_copied_pixel_by_pixel(size: int) -> None:
    image = noise(200, 300)

    crops = cut(image, boxed(31, 17, size, size), CropSpec(size=size, scale=1.0, center_y=0.5))

    assert np.array_equal(crops[0], image[17 : 17 + size, 31 : 31 + size])


@pytest.mark.parametrize("times", [2, 3, 5])
def test_a_large_box_is_averaged_not_sampled(times: int) -> None:
    image = noise(400, 400)

    crops = cut(image, boxed(20, 30, 64 * times, 64 * times), CropSpec(size=64, scale=1.0, center_y=0.5))

    area = image[30 : 30 + 64 * times, 20 : 20 + 64 * times].reshape(64, times, 64, times, 3).mean(axis=(1, 3))
    assert np.abs(crops[0] - area).max() <= 0.6


def test_the_box_centre_lies_at_center_y_and_the_side_is_scale_times_the_height() -> None:
    image = np.zeros((400, 400, 3), np.uint8)
    image[200:] = 255

    # Side 1.25 x 80 = 100 pixels, its top at 200 - 0.4 x 100: the edge at 200 is in row 40.
    crops = cut(image, boxed(160, 160, 60, 80), CropSpec(size=100, scale=1.25, center_y=0.4))

    assert crops[0, 39].max() == 0
    assert crops[0, 40].min() == 255


@pytest.mark.parametrize("degrees", [-40, -10, 25, 60])
def test_a_tilted_face_comes_out_with_level_eyes(degrees: int) -> None:
    half = np.array([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))]) * 20
    right, left = (np.rint(150 + side * half).astype(int).tolist() for side in (-1, 1))
    image = np.zeros((301, 301, 3), np.uint8)
    cv2.circle(image, right, 6, (255, 0, 0), -1)
    cv2.circle(image, left, 6, (0, 255, 0), -1)

    # The centre of pixel 150 is at 150.5, like the box's.
    faces = with_eyes(boxed(100.5, 100.5, 100, 100), (right[0] + 0.5, right[1] + 0.5), (left[0] + 0.5, left[1] + 0.5))
    crop = cut(image, faces, CropSpec(size=100, scale=1.0, center_y=0.5))[0]

    right_eye, left_eye = (np.argwhere(crop[:, :, channel] > 128).mean(axis=0) for channel in (0, 1))
    assert right_eye == pytest.approx([49.5, 29.5], abs=0.6)
    assert left_eye == pytest.approx([49.5, 69.5], abs=0.6)


@pytest.mark.parametrize("left", [(151.0, 156.0), (150.0, 150.0), (150.0, 290.0), (float("nan"), 150.0)])
def test_implausible_eyes_do_not_rotate_the_crop(left: tuple[float, float]) -> None:
    image, box, spec = noise(300, 300), boxed(100, 100, 100, 100), CropSpec(size=64)

    assert np.array_equal(cut(image, with_eyes(box, (150, 150), left), spec), cut(image, box, spec))


def test_the_edge_is_repeated_outside_the_image() -> None:
    image = noise(40, 40)

    crop = cut(image, boxed(-20, 10, 40, 40), CropSpec(size=40, scale=1.0, center_y=0.5))[0]

    assert np.array_equal(crop[:30, 20:], image[10:, :20])
    assert np.array_equal(crop[:30, :20], np.repeat(image[10:, :1], 20, axis=1))
    assert np.array_equal(crop[30:, 20:], np.repeat(image[-1:, :20], 10, axis=0))


def test_no_face_gives_an_empty_batch() -> None:
    crops = cut(noise(20, 20), Faces(np.zeros((0, 4), np.float32)), CropSpec(size=64))

    assert crops.shape == (0, 64, 64, 3)
    assert crops.dtype == np.uint8


def test_every_face_gets_its_own_crop() -> None:
    image = noise(100, 200)
    boxes = np.array([[0, 0, 32, 32], [50, 20, 32, 32], [140, 60, 32, 32]], np.float32)

    crops = cut(image, Faces(boxes), CropSpec(size=32, scale=1.0, center_y=0.5))

    for crop, (x, y, _, _) in zip(crops, boxes.astype(int).tolist(), strict=True):
        assert np.array_equal(crop, image[y : y + 32, x : x + 32])


def test_an_image_of_one_pixel_can_be_cropped() -> None:
    crop = cut(np.full((1, 1, 3), 7, np.uint8), boxed(0, 0, 1, 1), CropSpec(size=16))[0]

    assert (crop == 7).all()


@pytest.mark.parametrize("shape", [(60, 40_000), (40_000, 60)])
def test_a_panorama_can_be_cropped(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    at = [30.0, 39_900.0] if shape[0] > shape[1] else [39_900.0, 30.0]
    box = np.array([[at[0] - 10, at[1] - 10, 20, 20]], np.float32)
    spec = CropSpec(size=20, scale=1.0, center_y=0.5)
    x, y = int(at[0]) - 10, int(at[1]) - 10
    assert np.array_equal(cut(image, Faces(box), spec)[0], image[y : y + 20, x : x + 20])


def test_a_large_face_is_the_average_of_its_blocks() -> None:
    image = np.random.default_rng(0).integers(0, 255, (1280, 1280, 3), np.uint8)
    box = np.array([[0, 0, 1280, 1280]], np.float32)
    crop = cut(image, Faces(box), CropSpec(size=32, scale=1.0, center_y=0.5))[0]
    blocks = image.reshape(32, 40, 32, 40, 3).mean((1, 3))
    assert np.abs(crop - blocks).max() < 1.01
