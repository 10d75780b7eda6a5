"""Load labelled face zips: images as one uint8 array, labels as one array per column.

The format (images and a `labels.csv` whose first column is the file's name in the zip) is described in
`models/training/README.md`.
"""

import csv
import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien_models.errors import MienError
from mien_models.spec import EMOTIONS

_VOTES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
_OTHER_VOTES = ("contempt", "unknown", "nf")
_GENDERS = ("female", "male")
_OPEN_END = 120.0  # years; upper limit of an oldest bin without one, such as FairFace's 70+


class DatasetError(MienError):
    """A malformed zip; the message names the file, the row and the problem."""


@dataclass(frozen=True, slots=True)
class FaceData:
    """Faces of one or several zips; a missing label is -1 (an integer, easy to mask)."""

    files: tuple[str, ...]
    images: NDArray[np.uint8]
    """(N, S, S, 3) RGB."""
    emotion: NDArray[np.int64]
    """(N,) index into `EMOTIONS`, or -1."""
    votes: NDArray[np.float32]
    """(N, 7) FER+ votes of the shared classes, in the order of `EMOTIONS`; all 0 without votes."""
    majority: NDArray[np.int64]
    """(N,) FER+ class with the most votes, the first on a tie; -1 if contempt, unknown or not-a-face has as many."""
    male: NDArray[np.int64]
    """(N,) 1 male, 0 female, -1 unknown."""
    age: NDArray[np.int64]
    """(N, 2) lowest and highest age that the label allows, in years; -1 unknown; equal if exact."""
    race: tuple[str, ...]
    """Race group in the data set's terms, or empty. Used only to measure fairness."""

    def __len__(self) -> int:
        return len(self.files)


def load(path: Path, *, split: str = "all", size: int, usable: bool = False) -> FaceData:
    """Read the rows of one split, each image resized to `size` x `size` pixels.

    `usable` drops rows marked ambiguous (same image, different labels). Raises `DatasetError`.
    """
    with labelled(path, split) as (archive, rows):
        if usable:
            rows = [row for row in rows if row.text("ambiguous") != "1"]
        if not rows:
            raise DatasetError(f"{path}: labels.csv has no rows in split {split!r}")
        labels = _labels(rows)
        images = np.empty((len(rows), size, size, 3), np.uint8)
        for image, row in zip(images, rows, strict=True):
            image[:] = _square(read_image(archive, row), size)
    return FaceData(tuple(row.file for row in rows), images, *labels)


def held_out(path: Path) -> list[str]:
    """Return the names of a labelled zip's splits that are not `train`; raises `DatasetError`."""
    with labelled(path, "all") as (_, rows):
        return sorted({row.text("split") for row in rows} - {"train", ""})


def concatenate(parts: Sequence[FaceData]) -> FaceData:
    """Concatenate several data sets of the same image size."""
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


@dataclass(frozen=True, slots=True)
class Row:
    """One line of `labels.csv`; an empty cell or a missing column is an unknown label."""

    where: str
    """Zip, line and file name, for error messages."""
    file: str
    cells: Mapping[str, str | None]

    def text(self, column: str) -> str:
        """Return the cell, or an empty string if the column is missing."""
        return (self.cells.get(column) or "").strip()

    def code(self, column: str, known: Sequence[str]) -> int:
        """Return the index of the cell's word in `known`, or -1 if the cell is empty."""
        word = self.text(column)
        if not word:
            return -1
        if word.lower() not in known:
            raise DatasetError(f"{self.where}: {column} {word!r} is unknown; use one of {', '.join(known)}")
        return known.index(word.lower())

    def number(self, column: str, unknown: float, most: float = 200) -> float:
        """Return the cell's number, from 0 to `most`, or `unknown` if the cell is empty."""
        word = self.text(column)
        if not word:
            return unknown
        try:
            value = float(word)
        except ValueError:
            value = -1.0
        if not 0 <= value <= most:
            raise DatasetError(f"{self.where}: {column} {word!r} is not a number from 0 to {most:g}")
        return value


@contextmanager
def labelled(path: Path, split: str) -> Iterator[tuple[zipfile.ZipFile, list[Row]]]:
    """Open a labelled zip and return it with its rows of one split; raises `DatasetError`."""
    if not path.is_file():
        raise DatasetError(f"{path} does not exist or is not a file")
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive, _choose(_rows(archive, path), path, split)
    except zipfile.BadZipFile as error:
        raise DatasetError(f"{path} is not a readable zip: {error}") from error


def _rows(archive: zipfile.ZipFile, path: Path) -> list[Row]:
    if "labels.csv" not in archive.namelist():
        raise DatasetError(f"{path} contains no labels.csv")
    try:
        reader = csv.DictReader(io.StringIO(archive.read("labels.csv").decode("utf-8-sig"), newline=""))
        lines = [(reader.line_num, cells) for cells in reader]
    except (UnicodeDecodeError, csv.Error, zlib.error, RuntimeError) as error:  # RuntimeError: encrypted
        raise DatasetError(f"{path}: labels.csv is not readable as comma-separated UTF-8 text: {error}") from error
    if not reader.fieldnames or not lines:
        raise DatasetError(f"{path}: labels.csv has no rows")
    first = reader.fieldnames[0]
    return [Row(f"{path}: labels.csv line {line} ({cells[first]})", cells[first] or "", cells) for line, cells in lines]


def _choose(rows: list[Row], path: Path, split: str) -> list[Row]:
    if split == "all":
        return rows
    if "split" not in rows[0].cells:
        raise DatasetError(f"{path}: labels.csv has no column split, so use split 'all' instead of {split!r}")
    chosen = [row for row in rows if row.text("split") == split]
    if not chosen:
        known = sorted({row.text("split") for row in rows} - {""})
        raise DatasetError(f"{path} has no rows of split {split!r}; its splits: {', '.join(known)}, all")
    return chosen


_Labels = tuple[
    NDArray[np.int64], NDArray[np.float32], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], tuple[str, ...]
]


def _labels(rows: Sequence[Row]) -> _Labels:
    """Return the labels of the rows in the order of `FaceData`'s fields."""
    return (
        np.array([row.code("emotion", EMOTIONS) for row in rows], np.int64),
        np.array([_votes(row, _VOTES) for row in rows], np.float32),
        np.array([_majority(row) for row in rows], np.int64),
        np.array([row.code("gender", _GENDERS) for row in rows], np.int64),
        np.array([_ages(row) for row in rows], np.int64),
        tuple(row.text("race") for row in rows),
    )


def read_image(archive: zipfile.ZipFile, row: Row) -> NDArray[np.uint8]:
    """Return a row's image (H, W, 3) uint8 RGB; raises `DatasetError`."""
    try:
        content = archive.read(row.file)
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB) if content else None
    except KeyError as error:
        raise DatasetError(f"{row.where}: the zip does not contain this file") from error
    except (zipfile.BadZipFile, zlib.error, RuntimeError, cv2.error) as error:  # RuntimeError: encrypted
        raise DatasetError(f"{row.where}: cannot be read: {error}") from error
    if image is None:
        raise DatasetError(f"{row.where}: is not a readable image")
    return np.asarray(image, np.uint8)


def _square(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    if image.shape[:2] != (size, size):
        shrinks = max(image.shape[:2]) > size
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(image, (size, size), interpolation=method), np.uint8)
    return image


def _votes(row: Row, names: Sequence[str]) -> list[float]:
    return [row.number(f"votes_{name}", unknown=0) for name in names]


def _majority(row: Row) -> int:
    shared, other = _votes(row, _VOTES), _votes(row, _OTHER_VOTES)
    return int(np.argmax(shared)) if max(shared) > max(other) else -1


def _ages(row: Row) -> tuple[int, int]:
    """Return the lowest and highest age that the row's `age`, or else its bin, allows."""
    exact = row.number("age", unknown=-1)
    if exact >= 0:
        return int(exact), int(exact)
    low = row.number("age_low", unknown=-1)
    high = row.number("age_high", unknown=_OPEN_END if low >= 0 else -1)
    if low < 0 <= high or high < low:
        raise DatasetError(f"{row.where}: age_low and age_high are not an age bin")
    return int(low), int(high)
