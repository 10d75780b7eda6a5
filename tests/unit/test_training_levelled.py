"""Tests of landmarks that are refined on upright faces."""

import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mien_models.detectors import DetectorInfo
from mien_models.faces import Faces
from mien_training.detection.levelled import level
from mien_training.detection.photographs import Photograph

UPRIGHT = np.array([[-20, -15], [20, -15], [0, 5], [-15, 25], [15, 25]], np.float32)
RED, BLUE = (255, 0, 0), (0, 0, 255)


def turned(degrees: float, apart: float = 1.0) -> NDArray[np.float32]:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return (UPRIGHT * (apart, 1)) @ np.array([[cos, sin], [-sin, cos]], np.float32) + (100, 90)


def marked(points: NDArray[np.float32], box: float = 100) -> Photograph:
    """A photograph with a red and a blue eye, labelled as an upright face."""
    image = np.zeros((180, 200, 3), np.uint8)
    for point, colour in zip(points[:2], (RED, BLUE), strict=True):
        cv2.circle(image, (round(float(point[0])), round(float(point[1]))), 5, colour, -1)
    boxes = np.array([[100 - box * 0.4, 90 - box / 2, box * 0.8, box]], np.float32)
    return Photograph(
        "", "", False, image, boxes, np.add(UPRIGHT, (100, 90), dtype=np.float32)[None], np.zeros((0, 4), np.float32)
    )


class HalfTilt:
    """Detects the coloured eyes and reports half of their tilt; `passes` counts the images."""

    info = DetectorInfo("half", "1", "")
    passes = 0

    def detect(self, image: NDArray[np.uint8]) -> Faces:
        self.passes += 1
        eyes = [np.argwhere(image[:, :, channel] > 120)[:, ::-1].mean(0) for channel in (0, 2)]
        middle, across = (eyes[0] + eyes[1]) / 2, eyes[1] - eyes[0]
        angle, reach = math.atan2(across[1], across[0]) / 2, np.hypot(*across) / 2
        half = reach * np.array([math.cos(angle), math.sin(angle)])
        points = np.stack([middle - half, middle + half, middle, middle - half, middle + half])
        centre = np.array(image.shape[1::-1]) / 2
        box = np.array([[*(centre - (38, 48)), 76, 96]], np.float32)
        return Faces(box, points[None].astype(np.float32), np.ones(1, np.float32))


def tilt(points: NDArray[np.float32]) -> float:
    across, down = points[1] - points[0]
    return math.degrees(math.atan2(down, across))


@pytest.mark.parametrize("degrees", [-30, -12, 0, 25])
def test_points_follow_the_tilt_though_the_teacher_reports_half_of_it(degrees: float) -> None:
    truth = turned(degrees)
    (points,) = level(marked(truth), HalfTilt()).points
    assert tilt(points) == pytest.approx(degrees, abs=3)
    assert points[:2] == pytest.approx(truth[:2], abs=4)


def test_a_face_seen_from_the_side_keeps_its_points() -> None:
    item = marked(turned(20, apart=0.4))
    assert np.array_equal(level(item, HalfTilt()).points, item.points)


def test_small_faces_are_not_looked_at() -> None:
    teacher, item = HalfTilt(), marked(turned(20), box=18)
    assert np.array_equal(level(item, teacher).points, item.points)
    assert teacher.passes == 0


class Blind:
    """Sees no face."""

    info = DetectorInfo("blind", "1", "")

    def detect(self, image: NDArray[np.uint8]) -> Faces:
        return Faces(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))


def test_a_face_that_the_teacher_does_not_see_keeps_its_points() -> None:
    item = marked(turned(20))
    assert np.array_equal(level(item, Blind()).points, item.points)
