"""Tests of the finer passes over large images, with a detector of bright squares."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mien.errors import DetectorError
from mien_models.detectors import DetectorInfo, create
from mien_models.detectors.pyramid import SEARCHED, SMALL, TILE, Pyramid, first_side
from mien_models.faces import Faces

SIDE = 200


class Squares:
    """Detects white squares of at least 8 pixels, with scores that rise with their size; records the image sizes."""

    info = DetectorInfo("squares", "1", "")
    min_score = 0.6

    def __init__(self, surest: float = 1.0) -> None:
        self.surest = surest
        self.passes: list[tuple[int, ...]] = []

    def detect_unscaled(self, image: NDArray[np.uint8]) -> Faces:
        self.passes.append(image.shape[:2])
        found = cv2.connectedComponentsWithStats((image[:, :, 0] > 200).astype(np.uint8))[2][1:]
        boxes = found[:, :4][found[:, 2:4].min(1) >= 8].astype(np.float32)
        points = np.repeat(boxes[:, None, :2] + boxes[:, None, 2:] / 2, 5, axis=1)
        return Faces(boxes, points, (self.surest - 0.1 + boxes[:, 2] / 10_000).astype(np.float32))


def picture(*squares: tuple[int, int, int], size: tuple[int, int] = (600, 800)) -> NDArray[np.uint8]:
    """Draw white squares x, y, side on black."""
    image = np.zeros((*size, 3), np.uint8)
    for x, y, side in squares:
        image[y : y + side, x : x + side] = 255
    return image


def test_a_face_too_small_for_the_first_look_is_found_by_a_finer_one() -> None:
    image = picture((500, 400, 24))
    squares = Squares()
    faces = Pyramid(squares, long_side=SIDE).detect(image)
    assert squares.passes[:2] == [(150, 200), (300, 400)]
    assert len(faces) == 1
    assert faces.boxes[0] == pytest.approx([500, 400, 24, 24], abs=4)
    assert faces.points is not None
    assert faces.points[0, 0] == pytest.approx([512, 412], abs=4)


def test_a_face_that_several_looks_see_is_reported_once() -> None:
    faces = Pyramid(Squares(), long_side=SIDE).detect(picture((100, 100, 60), (420, 300, 60), (700, 500, 28)))
    assert len(faces) == 3


def test_a_face_on_the_edge_between_tiles_is_whole() -> None:
    image = picture((1265, 285, 30), size=(600, 2400))
    (box,) = Pyramid(Squares(), long_side=800).detect(image).boxes
    assert box == pytest.approx([1265, 285, 30, 30], abs=4)


def test_tiles_are_no_larger_than_their_limit() -> None:
    squares = Squares()
    Pyramid(squares, long_side=1000).detect(picture((10, 10, 25), size=(1500, 3000)))
    assert max(max(size) for size in squares.passes) <= TILE


def test_large_faces_alone_are_looked_at_once() -> None:
    squares = Squares()
    faces = Pyramid(squares, long_side=SIDE).detect(picture((100, 100, 300)))
    assert squares.passes == [(150, 200)]
    assert faces.searched == pytest.approx(SEARCHED * 800 / SIDE)


def test_an_image_that_was_not_shrunk_is_looked_at_once() -> None:
    squares = Squares()
    faces = Pyramid(squares, long_side=SIDE).detect(picture(size=(150, 200)))
    assert squares.passes == [(150, 200)]
    assert faces.searched == SEARCHED


def test_a_finer_look_after_one_without_faces_counts_where_it_is_sure() -> None:
    image = picture((500, 400, 24))
    assert len(Pyramid(Squares(surest=0.85), long_side=SIDE).detect(image)) == 0
    assert len(Pyramid(Squares(surest=0.95), long_side=SIDE).detect(image)) == 1
    beside_another = picture((500, 400, 24), (100, 100, 60))
    assert len(Pyramid(Squares(surest=0.85), long_side=SIDE).detect(beside_another)) == 2


def test_an_image_without_faces_is_looked_at_twice() -> None:
    squares = Squares()
    Pyramid(squares, long_side=SIDE).detect(picture(size=(2400, 3200)))
    assert squares.passes == [(150, 200), (300, 400)]


@pytest.mark.parametrize(("finest", "last"), [(4, 800), (None, 1600)])
def test_looks_go_on_to_the_limit_while_faces_are_small(finest: int | None, last: int) -> None:
    squares = Squares()
    size = 1600 * (SMALL - 2) // 1600  # small even at the image's own resolution
    many = [(40 + 200 * column, 40 + 300 * row, size) for column in range(7) for row in range(3)]
    faces = Pyramid(squares, long_side=400, finest=finest).detect(picture(*many, size=(1200, 1600)))
    assert faces.searched == pytest.approx(SEARCHED * 1600 / min(1600, last if finest is None else finest * 400))
    assert len(faces) == len(many)


def test_a_part_of_a_large_face_is_no_face() -> None:
    image = picture((600, 300, 12))
    image[100:500, 100:500] = 230
    image[296:302, 100:500] = 0  # a finer pass could detect two faces here
    image[100:500, 296:302] = 0
    sizes = Pyramid(Squares(), long_side=100).detect(image).boxes[:, 2:]
    assert (sizes.max(1) < 60).sum() <= 1


def test_the_first_look_at_a_panorama_has_as_many_pixels_as_any_other() -> None:
    assert first_side(640, 480, 640) == first_side(640, 640, 640) == 640
    side = first_side(8000, 600, 640)
    assert side * side * 600 / 8000 == pytest.approx(640 * 640 / 1.5, rel=0.02)
    squares = Squares()
    faces = Pyramid(squares, long_side=SIDE).detect(picture((1500, 40, 30), size=(100, 3000)))
    assert squares.passes[0][1] == first_side(3000, 100, SIDE)
    assert len(faces) == 1


@pytest.mark.parametrize("size", [(1, 900), (900, 1), (201, 201), (601, 799)])
def test_images_of_any_shape_can_be_looked_at(size: tuple[int, int]) -> None:
    assert len(Pyramid(Squares(), long_side=SIDE).detect(picture(size=size))) == 0


def test_a_detector_without_scores_has_no_further_looks() -> None:
    with pytest.raises(DetectorError, match=r"detector\.tiles"):
        create("haar", long_side=640, tiles=True)
