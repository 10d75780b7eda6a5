"""Made-up labelled faces in the zip format that training reads."""

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
