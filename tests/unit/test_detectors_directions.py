"""Tests of the search in four directions."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.errors import DetectorError
from mien_models.crops import cut
from mien_models.detectors import create
from mien_models.detectors.directions import turned_back
from mien_models.faces import Faces
from mien_models.images.decode import decode
from mien_models.spec import CropSpec

ASTRONAUT = Path(__file__).resolve().parents[2] / "examples" / "astronaut.jpg"


@pytest.fixture(scope="module")
def astronaut() -> NDArray[np.uint8]:
    return decode(ASTRONAUT.read_bytes()).pixels


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_place_in_the_turned_image_is_mapped_to_the_original(turns: int) -> None:
    image = np.zeros((50, 80, 3), np.uint8)
    image[12:20, 33:60] = 255
    rows, columns = np.nonzero(np.rot90(image, turns)[..., 0])
    low, high = np.array([columns.min(), rows.min()]), np.array([columns.max() + 1, rows.max() + 1])
    faces = Faces(np.array([[*low, *(high - low)]], np.float32), np.tile(low.astype(np.float32), (1, 5, 1)))

    back = turned_back(faces, turns, 80, 50)

    assert back.boxes.tolist() == [[33, 12, 27, 8]]
    assert back.points is not None
    assert tuple(back.points[0, 0]) in {(33, 12), (33, 20), (60, 12), (60, 20)}


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_face_in_any_direction_is_found_where_it_is(astronaut: NDArray[np.uint8], turns: int) -> None:
    turned = np.ascontiguousarray(np.rot90(astronaut, turns))
    detector = create("mien", long_side=640, four_directions=True)

    upright, found = detector.detect(astronaut), detector.detect(turned)

    assert len(found) == len(upright) == 1
    back = turned_back(found, turns, astronaut.shape[1], astronaut.shape[0])
    assert np.abs(back.boxes - upright.boxes).max() <= 1
    assert back.points is not None
    assert upright.points is not None
    assert np.abs(back.points - upright.points).max() <= 1


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_its_crop_is_that_of_the_upright_face(astronaut: NDArray[np.uint8], turns: int) -> None:
    turned = np.ascontiguousarray(np.rot90(astronaut, turns))
    detector = create("mien", long_side=640, four_directions=True)
    spec = CropSpec(size=80)

    upright, found = (cut(image, detector.detect(image), spec)[0] for image in (astronaut, turned))

    assert np.abs(upright.astype(int) - found.astype(int)).mean() < 4


def test_an_image_without_a_face_has_no_face_in_any_direction() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    assert len(create("mien", long_side=640, four_directions=True).detect(noise)) == 0


def test_the_cascade_without_scores_refuses_it() -> None:
    with pytest.raises(DetectorError, match="four_directions"):
        create("haar", long_side=640, four_directions=True)
