"""The second look at parts of a large photograph, with a detector that sees bright squares."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mien.errors import DetectorError
from mien_models.detectors import DetectorInfo, create, shrink
from mien_models.detectors.tiles import Tiled
from mien_models.faces import Faces

SIDE = 200


class Squares:
    """Sees white squares of at least 8 pixels in an image shrunk to SIDE pixels, the larger the surer."""

    info = DetectorInfo("squares", "1", "sha256:")

    def __init__(self) -> None:
        self.looks = 0

    def detect(self, image: NDArray[np.uint8]) -> Faces:
        self.looks += 1
        small, factor = shrink(image, SIDE)
        found = cv2.connectedComponentsWithStats((small[:, :, 0] > 200).astype(np.uint8))[2][1:]
        boxes = found[:, :4][found[:, 2:4].min(1) >= 8].astype(np.float32)
        points = np.repeat(boxes[:, None, :2] + boxes[:, None, 2:] / 2, 5, axis=1)
        return Faces(boxes, points, (boxes[:, 2] / 1000).astype(np.float32)).scaled(factor)


def picture(*squares: tuple[int, int, int], size: tuple[int, int] = (600, 800)) -> NDArray[np.uint8]:
    """Draw white squares x, y, side on black."""
    image = np.zeros((*size, 3), np.uint8)
    for x, y, side in squares:
        image[y : y + side, x : x + side] = 255
    return image


def test_a_face_too_small_for_the_first_look_is_found_in_a_part() -> None:
    image = picture((500, 400, 24))
    assert len(Squares().detect(image)) == 0
    faces = Tiled(Squares(), long_side=SIDE).detect(image)
    assert len(faces) == 1
    assert faces.boxes[0] == pytest.approx([500, 400, 24, 24], abs=4)
    assert faces.points is not None
    assert faces.points[0, 0] == pytest.approx([512, 412], abs=4)


def test_a_face_that_both_looks_see_is_told_once() -> None:
    faces = Tiled(Squares(), long_side=SIDE).detect(picture((100, 100, 60), (420, 300, 60), (700, 500, 28)))
    assert len(faces) == 3


def test_a_face_on_the_edge_between_parts_is_whole() -> None:
    image = picture((385, 285, 30))
    (box,) = Tiled(Squares(), long_side=SIDE).detect(image).boxes
    assert box == pytest.approx([385, 285, 30, 30], abs=4)


def test_large_faces_alone_need_no_second_look() -> None:
    squares = Squares()
    Tiled(squares, long_side=SIDE).detect(picture((100, 100, 300)))
    assert squares.looks == 1


def test_an_image_that_was_not_shrunk_needs_no_second_look() -> None:
    squares = Squares()
    Tiled(squares, long_side=SIDE).detect(picture(size=(150, 200)))
    assert squares.looks == 1


@pytest.mark.parametrize("size", [(1, 900), (900, 1), (201, 201), (601, 799)])
def test_images_of_any_shape_can_be_looked_at_in_parts(size: tuple[int, int]) -> None:
    assert len(Tiled(Squares(), long_side=SIDE).detect(picture(size=size))) == 0


def test_a_detector_without_scores_has_no_second_look() -> None:
    with pytest.raises(DetectorError, match="detector_tiles"):
        create("haar", long_side=640, tiles=True)
