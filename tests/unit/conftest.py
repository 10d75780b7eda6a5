"""Fixtures of the training tests: synthetic labels and zips."""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien_training.faces.dataset import FaceData

ZipMaker = Callable[..., Path]
FaceMaker = Callable[..., FaceData]


@pytest.fixture
def make_zip(tmp_path: Path) -> ZipMaker:
    """Write `name` with the given lines as labels.csv and a random image for each line except the header."""

    def make(name: str, lines: Sequence[str], *, shape: tuple[int, ...] = (20, 20, 3), pictures: bool = True) -> Path:
        random = np.random.default_rng(0)
        path = tmp_path / name
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("labels.csv", "\n".join(lines) + "\n")
            for file in (line.split(",")[0] for line in lines[1:] if pictures):
                picture = random.integers(0, 256, shape, np.uint8)
                archive.writestr(file, cv2.imencode(Path(file).suffix, picture)[1].tobytes())
        return path

    return make


@pytest.fixture
def make_faces() -> FaceMaker:
    """Return labels of `count` faces, unknown except those given by name."""

    def make(count: int, **labels: object) -> FaceData:
        unknown = np.full(count, -1)
        columns: dict[str, object] = {
            "files": tuple(f"{i}.png" for i in range(count)),
            "images": np.zeros((count, 1, 1, 3), np.uint8),
            "emotion": unknown,
            "votes": np.zeros((count, 7), np.float32),
            "majority": unknown,
            "male": unknown,
            "age": np.full((count, 2), -1),
            "race": ("",) * count,
        }
        return FaceData(**(columns | labels))

    return make
