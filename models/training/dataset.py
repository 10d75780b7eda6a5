"""Labelled face zips in memory: images as one uint8 array, labels as one array a column.

The format (images and a `labels.csv` whose first column is the file's name in the zip) is described in
`models/training/README.md`.
"""

import csv
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien_models.spec import EMOTIONS

_VOTES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
_OTHER_VOTES = ("contempt", "unknown", "nf")


class DatasetError(ValueError):
    """A zip that is not in the format; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class FaceData:
    """Faces of one or several zips; a label that a zip does not have is -1 (NaN-free, easy to mask)."""

    files: tuple[str, ...]
    images: NDArray[np.uint8]
    """(N, S, S, 3) RGB."""
    emotion: NDArray[np.int64]
    """(N,) index into `EMOTIONS`, or -1."""
    votes: NDArray[np.float32]
    """(N, 7) FER+ votes of the shared classes, in the order of `EMOTIONS`; all 0 where there are none."""
    majority: NDArray[np.int64]
    """(N,) FER+ majority where one of the seven classes leads contempt, unknown and not-a-face; else -1."""
    male: NDArray[np.int64]
    """(N,) 1 male, 0 female, -1 unknown."""
    age: NDArray[np.int64]
    """(N, 2) youngest and oldest age that the label allows, in years; -1 unknown; equal where exact."""
    race: tuple[str, ...]
    """Race group as the data set names it, or empty. Only for measuring fairness."""

    def __len__(self) -> int:
        return len(self.files)


def load(path: Path, *, split: str = "all", size: int, usable: bool = False) -> FaceData:
    """Read the rows of one split, each image resized to `size` pixels.

    `usable` drops the rows marked ambiguous (same image, different labels). Raises `DatasetError`.
    """
    with zipfile.ZipFile(path) as archive:
        if "labels.csv" not in archive.namelist():
            raise DatasetError(f"{path} holds no labels.csv")
        with archive.open("labels.csv") as handle:
            rows = list(csv.DictReader(io.TextIOWrapper(handle, "utf-8")))
        rows = [row for row in rows if split == "all" or row.get("split") == split]
        if usable:
            rows = [row for row in rows if row.get("ambiguous") != "1"]
        if not rows:
            raise DatasetError(f"{path} has no rows of split {split!r}")
        key = next(iter(rows[0]))
        images = np.stack([_read(archive, row[key], size) for row in rows])
    return FaceData(
        files=tuple(row[key] for row in rows),
        images=images,
        emotion=np.array([EMOTIONS.index(row["emotion"]) if row.get("emotion") else -1 for row in rows]),
        votes=np.array([_votes(row, _VOTES) for row in rows], np.float32),
        majority=np.array([_majority(row) for row in rows]),
        male=np.array([{"male": 1, "female": 0}.get(row.get("gender", ""), -1) for row in rows]),
        age=np.array([_ages(row) for row in rows]),
        race=tuple(row.get("race", "") for row in rows),
    )


def concatenate(parts: Sequence[FaceData]) -> FaceData:
    """Join several data sets of the same image size."""
    return FaceData(
        files=tuple(name for part in parts for name in part.files),
        images=np.concatenate([part.images for part in parts]),
        emotion=np.concatenate([part.emotion for part in parts]),
        votes=np.concatenate([part.votes for part in parts]),
        majority=np.concatenate([part.majority for part in parts]),
        male=np.concatenate([part.male for part in parts]),
        age=np.concatenate([part.age for part in parts]),
        race=tuple(race for part in parts for race in part.race),
    )


def _read(archive: zipfile.ZipFile, name: str, size: int) -> NDArray[np.uint8]:
    image = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise DatasetError(f"{archive.filename}: {name} is not a readable image")
    if image.shape[:2] != (size, size):
        shrinks = image.shape[0] > size
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(image, np.uint8)


def _votes(row: dict[str, str], names: Sequence[str]) -> list[float]:
    return [float(row.get(f"votes_{name}") or 0) for name in names]


def _majority(row: dict[str, str]) -> int:
    shared, other = _votes(row, _VOTES), _votes(row, _OTHER_VOTES)
    return int(np.argmax(shared)) if max(shared) > max(other) else -1


def _ages(row: dict[str, str]) -> tuple[int, int]:
    if row.get("age"):
        return int(row["age"]), int(row["age"])
    if row.get("age_low"):
        return int(row["age_low"]), int(row["age_high"] or 120)
    return -1, -1
