"""Evaluate a detector on photographs whose faces were counted by hand."""

import csv
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien_models.detectors import Detector
from mien_models.images.decode import decode
from mien_training.results import provenance

_KNOWN = provenance.ROOT / "benchmarks" / "known_photographs.csv"
_SUFFIXES = (".jpg", ".png")


@dataclass(frozen=True, slots=True)
class Counted:
    """Decoded photographs: those with faces and their counts, and those without faces."""

    faces: dict[str, int]
    images: dict[str, NDArray[np.uint8]]
    """(H, W, 3) RGB, by the same names."""
    empty: list[NDArray[np.uint8]]

    @classmethod
    def read(cls, folder: Path) -> "Counted":
        """Read a folder that contains the folders nasa, azure, public_domain and no_face.

        Raises `OSError` if a file is missing and `mien_models.images.decode.ImageError` if one cannot be decoded.
        """
        with _KNOWN.open(encoding="utf-8", newline="") as handle:
            faces = {row["file"]: int(row["faces"]) for row in csv.DictReader(handle)}
        empty = [path for path in sorted((folder / "no_face").iterdir()) if path.suffix.lower() in _SUFFIXES]
        return cls(faces, {name: _read(folder / name) for name in faces}, [_read(path) for path in empty])

    def metrics(self, detector: Detector) -> dict[str, object]:
        """Return detected and counted faces, false positives, and milliseconds on one thread."""
        found, spent = {}, []
        for name, image in self.images.items():
            started = time.thread_time()
            found[name] = len(detector.detect(image))
            spent.append((time.thread_time() - started) * 1000)
        return {
            "faces": sum(self.faces.values()),
            "found": sum(min(found[name], count) for name, count in self.faces.items()),
            "surplus": sum(max(0, found[name] - count) for name, count in self.faces.items()),
            "no_face_photographs": len(self.empty),
            "no_face_boxes": sum(len(detector.detect(image)) for image in self.empty),
            "missed_in": {name: [found[name], count] for name, count in self.faces.items() if found[name] < count},
            "median_ms": round(float(np.median(spent)), 2),
            "p95_ms": round(float(np.percentile(spent, 95)), 2),
        }


def _read(path: Path) -> NDArray[np.uint8]:
    return decode(path.read_bytes()).pixels
