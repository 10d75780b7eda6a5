"""Synthetic labelled faces in the zip format for training."""

import csv
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np


def write_faces(path: Path, header: str, labels: Sequence[str]) -> None:
    """Write random faces, each label once in the split `train` and once in `val`; `header` ends with `split`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    lines = [header]
    with zipfile.ZipFile(path, "w") as archive:
        for split in ("train", "val"):
            for number, label in enumerate(labels):
                file = f"{split}/{number}.png"
                picture = random.integers(0, 256, (48, 48, 3), np.uint8)
                archive.writestr(file, cv2.imencode(".png", picture)[1].tobytes())
                lines.append(f"{file},{label},{split}")
        archive.writestr("labels.csv", "\n".join(lines) + "\n")


def photograph(seed: int) -> bytes:
    """Return a random photograph, as PNG."""
    picture = np.random.default_rng(seed).integers(0, 256, (96, 128, 3), np.uint8)
    return cv2.imencode(".png", picture)[1].tobytes()


def write_photographs(path: Path) -> None:
    """Write a detector's training zip: in each split a face, two with an ignored region, and none."""
    points = [40.0, 40, 56, 40, 48, 48, 42, 56, 54, 56]
    whole = [32, 24, 32, 40, *points, 1.0]
    bare = [90, 30, 20, 24, *([None] * 10), 0.8]
    labels = [([whole], [], "human"), ([whole, bare], [[4, 4, 10, 12, 0.4]], "teacher"), ([], [], "human")]
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["file", "label_source", "boxes", "ignore", "split"])
    with zipfile.ZipFile(path, "w") as archive:
        for split in ("train", "val"):
            for number, (boxes, ignored, source) in enumerate(labels):
                file = f"{split}/{number}.png"
                archive.writestr(file, photograph(number))
                writer.writerow([file, source, json.dumps(boxes), json.dumps(ignored), split])
        archive.writestr("labels.csv", text.getvalue())
