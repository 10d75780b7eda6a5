"""Load photographs with labelled faces for training and evaluating detectors.

The format (a zip with `labels.csv`, its boxes as JSON lists) is described in `models/training/README.md`.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien_training.faces.dataset import DatasetError, Row, labelled, read_image

_BOX = 4
_FACE = 15  # box, five points, score


@dataclass(frozen=True, slots=True, eq=False)
class Photograph:
    """One photograph with its labelled faces; coordinates in pixels."""

    file: str
    source: str
    """Short name of its collection, or empty."""
    human: bool
    """Whether people drew the boxes, rather than another detector."""
    image: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    boxes: NDArray[np.float32]
    """(N, 4) x, y, width, height."""
    points: NDArray[np.float32]
    """(N, 5, 2) as in `mien_models.faces.Faces`; NaN where unknown."""
    ignored: NDArray[np.float32]
    """(M, 4) boxes of regions to ignore, which count neither as face nor as background."""


def load_photographs(path: Path, *, split: str = "all") -> list[Photograph]:
    """Read the photographs of one split; raises `DatasetError`."""
    with labelled(path, split) as (archive, rows):
        photographs = []
        for row in rows:
            faces, ignored = _numbers(row, "boxes", _FACE), _numbers(row, "ignore", _BOX)
            if np.isnan(faces[:, :_BOX]).any() or np.isnan(ignored).any():
                raise DatasetError(f"{row.where}: a box has a side of unknown length")
            photographs.append(
                Photograph(
                    file=row.file,
                    source=row.text("source_key"),
                    human=row.text("label_source") == "human",
                    image=read_image(archive, row),
                    boxes=faces[:, :_BOX],
                    points=faces[:, _BOX:-1].reshape(-1, 5, 2),
                    ignored=ignored,
                )
            )
    return photographs


def _numbers(row: Row, column: str, width: int) -> NDArray[np.float32]:
    """Parse a cell's JSON lists into (N, `width`) numbers, with NaN for null."""
    try:
        lists = json.loads(row.text(column) or "[]")
        table = [[math.nan if value is None else float(value) for value in values[:width]] for values in lists]
        return np.array(table, np.float32).reshape(len(table), width)
    except (ValueError, TypeError) as error:
        raise DatasetError(f"{row.where}: {column} is not a JSON list of lists of {width} numbers") from error
