"""Tests of the search for faces by templates, and of the recognition of camera cuts."""

import cv2
import numpy as np
import pytest

from mien_models.detectors.motion import scene, search, template
from tests.moving_faces import FACE, example


@pytest.mark.parametrize("shift", [(0.0, 0.0), (3.4, -2.6), (-17.0, 11.5)])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_a_face_is_found_where_it_went(shift: tuple[float, float], scale: float) -> None:
    picture = cv2.resize(example(), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    moved = np.array(shift) * scale
    matrix = np.array([[1, 0, moved[0]], [0, 1, moved[1]]])
    later = np.asarray(cv2.warpAffine(picture, matrix, picture.shape[1::-1], borderMode=cv2.BORDER_REPLICATE), np.uint8)
    box = np.array(FACE) * scale
    found, alike = search(later, template(picture, box), box)
    np.testing.assert_allclose(found[:2] - box[:2], moved, atol=0.02 * box[3])
    assert alike > 0.9


def test_a_covered_face_is_not_found() -> None:
    picture, box = example(), np.array(FACE)
    covered = picture.copy()
    covered[:, 150:330] = 90
    assert search(covered, template(picture, box), box)[1] < 0.5


def test_another_picture_is_a_cut_but_a_flash_or_a_pan_is_not() -> None:
    picture = example()
    first = scene(picture)
    flash = np.clip(picture.astype(np.int16) + 70, 0, 255).astype(np.uint8)
    pan = np.roll(picture, 40, axis=1)
    other = np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)
    assert scene(cv2.resize(other, (512, 512), interpolation=cv2.INTER_CUBIC)).differs(first)
    assert not scene(flash).differs(first)
    assert not scene(np.ascontiguousarray(pan)).differs(first)
