"""Web collections of expressions, cropped like FER2013's faces: largest face, levelled, 48 x 48 grey.

The label of a folder or list counts as all ten votes; the training run sets its weight.
"""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien_models.crops import cut
from mien_models.detectors import Detector
from mien_models.spec import CropSpec
from mien_training.sources.duplicates import Known
from mien_training.sources.errors import PrepareError

VOTES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear")
"""The classes, by FER+'s names."""

_FRAME = CropSpec(size=48, scale=1.005, center_y=0.52)
_FOLDERS = {
    "neutral": "neutral",
    "happy": "happiness",
    "surprise": "surprise",
    "sad": "sadness",
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
}
_BLACK = 8  # highest value of the black outside a face's outline
_MARGIN = 40  # padding around an image before detection, in pixels

Row = dict[str, str | int]


def effectnet_rows(folder: Path, detector: Detector, known: Known) -> Iterator[tuple[Row, bytes]]:
    """Yield votes and a face for each image in `folder`/CLASS; black outside the outline is inpainted.

    Images in two folders or in `known` are skipped. Raises `PrepareError` for a missing folder.
    """
    labels: dict[Path, str] = {}
    for name, vote in _FOLDERS.items():
        paths = sorted((folder / name).glob("*.jpg"))
        if not paths:
            raise PrepareError(f"{folder / name} contains no .jpg files")
        labels |= dict.fromkeys(paths, vote)
    yield from _rows(labels, detector, known, outlined=True)


def facial_expressions_rows(folder: Path, detector: Detector, known: Known) -> Iterator[tuple[Row, bytes]]:
    """Yield votes and a face for each line of `folder`/data/legend.csv, with its image from `folder`/images."""
    legend = folder / "data" / "legend.csv"
    if not legend.is_file():
        raise PrepareError(f"{legend} does not exist")
    labels = {}
    with legend.open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            if row["emotion"].lower() in VOTES:
                labels[folder / "images" / row["image"]] = row["emotion"].lower()
    yield from _rows(labels, detector, known, outlined=False)


def _rows(
    labels: Mapping[Path, str], detector: Detector, known: Known, *, outlined: bool
) -> Iterator[tuple[Row, bytes]]:
    faces: dict[Path, NDArray[np.uint8]] = {}
    for path in labels:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        if image is None:
            continue
        picture = np.asarray(image, np.uint8)
        face = _face(_painted(picture) if outlined else picture, detector)
        if face is not None and face not in known:
            faces[path] = face
    outputs = known.contradictions(faces, labels)
    for path, face in faces.items():
        if path in outputs:
            continue
        entry: Row = {"file": f"{path.parent.name}_{path.name}.png", "split": "train"}
        votes: Row = {f"votes_{name}": 10 * (name == labels[path]) for name in VOTES}
        yield entry | votes, bytes(cv2.imencode(".png", face)[1])


def _painted(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fill the black around a face's outline with the colours at its border, blurred."""
    dark = (image.max(2) <= _BLACK).astype(np.uint8)
    outside = np.zeros_like(dark)
    _, pieces = cv2.connectedComponents(dark)
    edge = {*pieces[0].tolist(), *pieces[-1].tolist(), *pieces[:, 0].tolist(), *pieces[:, -1].tolist()} - {0}
    outside[np.isin(pieces, list(edge))] = 1
    outside = cv2.dilate(outside, np.ones((5, 5), np.uint8))  # JPEG leaves a dark edge
    # At a quarter of the size: the result is blurred anyway, and it takes a twentieth of the time.
    size = image.shape[1] // 4, image.shape[0] // 4
    inside = cv2.resize((1 - outside).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    colours = cv2.resize(image * (1 - outside)[..., None], size, interpolation=cv2.INTER_AREA).astype(np.float32)
    filled = np.full_like(colours, 127)
    for sigma in (12.0, 4.0, 1.5):
        weight = cv2.GaussianBlur(inside, (0, 0), sigma)[..., None]
        blurred = cv2.GaussianBlur(colours, (0, 0), sigma) / np.maximum(weight, 1e-3)
        share = np.minimum(1.0, 4 * weight)
        filled = share * blurred + (1 - share) * filled
    large = cv2.resize(filled.clip(0, 255), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.where(outside[..., None] == 1, large, image).astype(np.uint8)


def _face(image: NDArray[np.uint8], detector: Detector) -> NDArray[np.uint8] | None:
    """Return the largest face, (48, 48) grey, or None."""
    wide = cv2.copyMakeBorder(image, _MARGIN, _MARGIN, _MARGIN, _MARGIN, cv2.BORDER_REPLICATE)
    padded = np.asarray(wide, np.uint8)
    faces = detector.detect(padded).largest_first(1)
    if not len(faces) or faces.boxes[0, 3] < _FRAME.size * 0.7:
        return None
    return np.asarray(cv2.cvtColor(cut(padded, faces, _FRAME)[0], cv2.COLOR_RGB2GRAY), np.uint8)
