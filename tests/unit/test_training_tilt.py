"""The measure of tilt: a detector that follows it, and one that does not."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mien_models.faces import Faces
from mien_training.evaluation import tilt
from tests.unit.test_training_levelled import HalfTilt, marked, turned
from tests.unit.test_training_levelled import tilt as tilt_of


class Exact(HalfTilt):
    """Reports the tilt of the eyes as it is."""

    def detect(self, image: NDArray[np.uint8]) -> Faces:
        faces = super().detect(image)
        assert faces.points is not None
        points = faces.points[0]
        middle, reach = points[:2].mean(0), np.linalg.norm(points[1] - points[0]) / 2
        angle = 2 * np.radians(tilt_of(points))
        half = reach * np.array([np.cos(angle), np.sin(angle)])
        exact = np.stack([middle - half, middle + half, *points[2:]]).astype(np.float32)
        return Faces(faces.boxes, exact[None], faces.scores)


def test_the_error_is_that_of_the_reported_angle() -> None:
    photographs = [marked(turned(degrees)) for degrees in (-10, 0, 10)]
    figures = tilt.measure({"exact": Exact(), "half": HalfTilt()}, photographs, Exact())
    for angle in ("15", "30"):
        assert figures["exact"][angle] == {"faces": 6, "detected": 6, "median_error": pytest.approx(0, abs=1.5)}
        assert figures["half"][angle]["median_error"] == pytest.approx(float(angle) / 2, abs=2)
    assert figures["exact"]["0"]["faces"] == 3
