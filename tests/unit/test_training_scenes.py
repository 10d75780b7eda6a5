"""Tests of composing training scenes from photographs and chips."""

import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien_training.detection.chips import SIDE, Chips, mask
from mien_training.detection.degradations import degrade
from mien_training.detection.photographs import Photograph, load_photographs
from mien_training.detection.scenes import LEAST, Composer
from mien_training.faces.dataset import DatasetError
from tests.face_zips import photograph, write_photographs

# A face's box and points, marked by colours that no background has.
EYES = np.array([[40, 40], [60, 40], [50, 50], [43, 60], [57, 60]], np.float32)


def marked() -> Photograph:
    """A grey photograph whose right eye is red and whose left eye is blue."""
    image = np.full((120, 160, 3), 90, np.uint8)
    for point, colour in zip(EYES[:2].astype(int), ((255, 0, 0), (0, 0, 255)), strict=True):
        image[point[1] - 4 : point[1] + 4, point[0] - 4 : point[0] + 4] = colour
    box = np.array([[30, 25, 40, 50]], np.float32)
    return Photograph("a.png", "", True, image, box, EYES[None], np.zeros((0, 4), np.float32))


def test_boxes_points_and_ignored_regions_are_read(tmp_path: Path) -> None:
    write_photographs(tmp_path / "detect.zip")
    photographs = load_photographs(tmp_path / "detect.zip", split="train")
    assert [len(item.boxes) for item in photographs] == [1, 2, 0]
    first, second, _ = photographs
    assert first.human
    assert not np.isnan(first.points).any()
    assert np.isnan(second.points[1]).all()
    assert second.ignored.shape == (1, 4)


@pytest.mark.parametrize("boxes", ["[[1, 2]]", "[1]", "nonsense", "[[null, 1, 2, 3" + ", null" * 10 + ", 1]]"])
def test_invalid_boxes_are_reported_with_their_line(tmp_path: Path, boxes: str) -> None:
    path = tmp_path / "detect.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", photograph(0))
        archive.writestr("labels.csv", 'file,boxes,split\na.png,"' + boxes.replace('"', '""') + '",train\n')
    with pytest.raises(DatasetError, match=r"line 2 \(a.png\)"):
        load_photographs(path, split="train")


def test_side_views_are_sampled_more_often() -> None:
    frontal = marked()
    sideways = replace(frontal, file="b.png", points=frontal.points * [0.2, 1] + [40, 0])
    composer = Composer([frontal, sideways], None)
    random = np.random.default_rng(0)
    chosen = Counter(composer._photograph(random, 0).file for _ in range(900))
    assert 1.6 < chosen["b.png"] / chosen["a.png"] < 2.4  # the root of four times as often


def test_points_stay_on_the_eyes_and_the_right_one_is_left_in_the_picture_even_in_a_mirror() -> None:
    composer = Composer([marked()], None)
    random = np.random.default_rng(0)
    marks, upright = [], []
    for _ in range(60):
        scene = composer.compose(160, random)
        for right, left in scene.points[:, :2].astype(int).tolist():
            if min(*right, *left) >= 0 and max(*right, *left) < 160:
                found = [scene.image[row, column].argmax() for column, row in (right, left)]
                marks.append(sorted(found) == [0, 2])
                upright.append(right[0] < left[0])
    assert len(marks) > 30
    # In a mosaic, a face at the edge of its part may be cut off by another part; few faces are rotated by 90 degrees.
    assert np.mean(marks) > 0.95
    assert np.mean(upright) > 0.95


def test_faces_that_are_too_small_or_outside_are_ignored() -> None:
    composer = Composer([marked()], None)
    random = np.random.default_rng(1)
    for _ in range(40):
        scene = composer.compose(96, random)
        assert scene.image.shape == (96, 96, 3)
        assert scene.image.dtype == np.uint8
        for x, y, width, height in scene.boxes.tolist():
            assert max(width, height) >= LEAST
            across, down = min(x + width, 96) - max(x, 0), min(y + height, 96) - max(y, 0)
            assert across * down >= 0.49 * width * height


def with_white_chips() -> Composer:
    background = Photograph(
        "b.png",
        "",
        True,
        np.zeros((200, 200, 3), np.uint8),
        np.zeros((0, 4), np.float32),
        np.zeros((0, 5, 2), np.float32),
        np.zeros((0, 4), np.float32),
    )
    chips = Chips(
        np.full((1, SIDE, SIDE, 3), 255, np.uint8), np.array([[15, 5, 50, 70]], np.float32), EYES[None].copy()
    )
    return Composer([marked(), background], chips)


def test_pasted_faces_have_boxes_where_they_are() -> None:
    composer = with_white_chips()
    random = np.random.default_rng(2)
    bright = [
        scene.image[int(box[1] + box[3] / 2), int(box[0] + box[2] / 2)].min()
        for scene in (composer.compose(128, random) for _ in range(60))
        for box in scene.boxes
        if 0 < box[0] + box[2] / 2 < 128 and 0 < box[1] + box[3] / 2 < 128
    ]
    assert sum(value > 91 for value in bright) > 30


def test_plain_scenes_have_nothing_pasted() -> None:
    composer = with_white_chips()
    random = np.random.default_rng(2)
    scenes = [composer.compose(128, random, plain=True) for _ in range(60)]
    assert max(len(scene.boxes) for scene in scenes) == len(marked().boxes)


def test_a_mask_is_full_in_the_middle_of_the_face_and_nothing_at_the_edges() -> None:
    for seed in range(20):
        opacity = mask(np.random.default_rng(seed), np.array([12, 4, 56, 72], np.float32))
        assert opacity.shape == (SIDE, SIDE)
        assert opacity[40, 40] == 1
        assert opacity[0, 0] == opacity[-1, -1] == 0


def test_the_same_seed_makes_the_same_scene() -> None:
    composer = Composer([marked()], None)
    one, other = (composer.compose(96, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(one.image, other.image)
    assert np.array_equal(one.boxes, other.boxes)


def test_photographs_without_a_face_are_refused() -> None:
    with pytest.raises(ValueError, match="no face"):
        Composer([], None)


def test_degradations_keep_size_and_type() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    for seed in range(40):
        degraded = degrade(image.copy(), np.random.default_rng(seed))
        assert degraded.shape == image.shape
        assert degraded.dtype == np.uint8


def test_further_photographs_make_a_quarter_of_the_crops_however_many_they_are() -> None:
    own = replace(marked(), image=np.full_like(marked().image, 90))
    further = [replace(own, image=np.full_like(own.image, 200)) for _ in range(50)]
    composer, random = Composer([own], None, further), np.random.default_rng(0)
    bright = [int(composer.compose(64, random, plain=True).image[32, 32].max()) > 150 for _ in range(300)]
    assert 0.15 < np.mean(bright) < 0.4


def test_scenes_are_turned_by_up_to_45_degrees_and_more() -> None:
    composer, random = Composer([marked()], None), np.random.default_rng(0)
    points = np.concatenate([composer.compose(96, random, plain=True).points for _ in range(200)])
    across, down = (points[:, 1] - points[:, 0]).T
    tilts = np.abs(np.degrees(np.arctan2(down, across)))
    assert 0.1 < (tilts > 20).mean() < 0.5
    assert (tilts > 40).any()
