"""Present labelled faces as whole pictures with a margin, and read the labels of the known photographs."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from mien_models.spec import EMOTIONS
from mien_training.faces.dataset import FaceData, load
from photographs import read_known

DataSet = Literal["fer2013", "fairface", "utkface"]
SETS: dict[DataSet, int] = {"fer2013": 400, "fairface": 300, "utkface": 300}
"""Faces of each data set."""

PHOTOGRAPHS = {1: "nasa/Cady_Coleman.jpg", 6: "nasa/Prime_and_backup_crew_for_ISS_Expedition_13.jpg"}
"""Photographs whose speed is measured, by their number of people; the long sides are 1024 pixels."""

_PICTURE = 448
_CHIP = 224
"""Sides of a picture, and of the face image in its centre, in pixels."""

_NATIVE: dict[DataSet, int] = {"fer2013": 48, "fairface": 80, "utkface": 80}
_BOXES: dict[DataSet, tuple[float, float, float, float]] = {
    "fer2013": (0.499, 0.520, 0.755, 0.995),
    "fairface": (0.500, 0.467, 0.785, 0.933),
    "utkface": (0.490, 0.482, 0.834, 0.968),
}
"""Median face box of a data set's images: centre x, centre y, width, height, as fractions of the side."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture with one labelled face."""

    path: Path
    data: DataSet
    box: tuple[float, float, float, float]
    """x, y, width, height in pixels."""
    emotion: str | None = None
    """FER2013's label."""
    majority: str | None = None
    """Majority of the FER+ votes; None without a majority for one of the seven emotions."""
    gender: str | None = None
    age: float | None = None
    """Years; None if only a range is known."""
    race: str | None = None
    """Race group in the data set's terms; used only to measure fairness."""


@dataclass(frozen=True, slots=True)
class Photograph:
    """A known photograph."""

    path: Path
    faces: int
    """Counted by hand."""
    box: tuple[float, float, float, float] | None
    """Face box of a portrait of one person."""
    sex: str | None


def write_samples(data: Path, folder: Path, seed: int, counts: dict[DataSet, int] = SETS) -> list[Sample]:
    """Choose faces of each data set's `val` split by the seed, and write their pictures as PNG.

    Raises `mien_training.faces.dataset.DatasetError` for a missing or malformed zip.
    """
    folder.mkdir(parents=True, exist_ok=True)
    samples = []
    for name, count in counts.items():
        faces = load(data / f"{name}.zip", split="val", size=_NATIVE[name], usable=True)
        chosen = np.random.default_rng(seed).permutation(_labelled(faces, name))[:count]
        for index in sorted(int(item) for item in chosen):
            path = folder / f"{name}-{Path(faces.files[index]).stem}.png"
            cv2.imwrite(str(path), picture(faces.images[index])[:, :, ::-1])
            samples.append(_sample(faces, index, name, path))
    return samples


def picture(chip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a face image (S, S, 3) enlarged in the centre of a picture (448, 448, 3) of its border's mean colour."""
    border = np.concatenate([chip[0], chip[-1], chip[:, 0], chip[:, -1]])
    canvas = np.empty((_PICTURE, _PICTURE, 3), np.uint8)
    canvas[:] = border.mean(0).round().astype(np.uint8)
    start = (_PICTURE - _CHIP) // 2
    face = cv2.resize(chip, (_CHIP, _CHIP), interpolation=cv2.INTER_CUBIC)
    canvas[start : start + _CHIP, start : start + _CHIP] = face
    return canvas


def read_photographs(folder: Path) -> list[Photograph]:
    """Return the known photographs, and those without faces; boxes and sexes are those of `faces.csv`."""
    with (folder / "faces.csv").open(encoding="utf-8", newline="") as handle:
        portraits = {row["file"]: row for row in csv.DictReader(handle)}
    known = {name: faces for name, faces, _ in read_known()}
    empty = [path for path in sorted((folder / "no_face").iterdir()) if path.suffix in {".jpg", ".png"}]
    photographs = []
    for name, faces in known.items():
        row = portraits.get(name)
        box = (float(row["x"]), float(row["y"]), float(row["w"]), float(row["h"])) if row else None
        photographs.append(Photograph(folder / name, faces, box, row["gender"] if row else None))
    return [*photographs, *(Photograph(path, 0, None, None) for path in empty)]


def _labelled(faces: FaceData, name: DataSet) -> NDArray[np.int64]:
    """Return the indices of faces with the data set's labels."""
    known = faces.emotion >= 0 if name == "fer2013" else faces.male >= 0
    return np.flatnonzero(known)


def _sample(faces: FaceData, index: int, name: DataSet, path: Path) -> Sample:
    low, high = faces.age[index]
    return Sample(
        path,
        name,
        _box(name),
        emotion=_name(EMOTIONS, faces.emotion[index]),
        majority=_name(EMOTIONS, faces.majority[index]),
        gender=_name(("female", "male"), faces.male[index]),
        age=float(low) if low == high >= 0 else None,
        race=faces.race[index] or None,
    )


def _box(name: DataSet) -> tuple[float, float, float, float]:
    start = (_PICTURE - _CHIP) / 2
    x, y, width, height = (value * _CHIP for value in _BOXES[name])
    return start + x - width / 2, start + y - height / 2, width, height


def _name(names: Sequence[str], index: int) -> str | None:
    return names[index] if index >= 0 else None
