"""Load aligned face chips with box, five points and a soft mask, for pasting into photographs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien_models.detectors import Detector
from mien_training.faces.dataset import concatenate, load

SIDE = 80
"""Side of the chips, in pixels."""

_MARGIN = 24  # padding around a chip before detection, in pixels: a face that fills the image is rarely detected
_SURE = 0.7  # lowest score of an accepted face
_SQUARENESS = (2.0, 6.0)  # exponents of the superellipse masks: from the face alone to nearly the whole chip


@dataclass(frozen=True, slots=True, eq=False)
class Chips:
    """N square images of one face each; coordinates in pixels."""

    images: NDArray[np.uint8]
    """(N, SIDE, SIDE, 3) RGB."""
    boxes: NDArray[np.float32]
    """(N, 4) x, y, width, height."""
    points: NDArray[np.float32]
    """(N, 5, 2)."""

    def __len__(self) -> int:
        return len(self.images)


def load_chips(paths: list[Path], teacher: Detector, *, limit: int, seed: int) -> Chips:
    """Read the `train` part of labelled zips and keep the chips in which the teacher detects exactly one face.

    At most `limit` chips, chosen by `seed`, are searched. Raises `DatasetError`.
    """
    images = concatenate([load(path, split="train", size=SIDE) for path in paths]).images
    chosen = np.random.default_rng(seed).permutation(len(images))[:limit]
    kept, boxes, points = [], [], []
    for index in chosen.tolist():
        wide = np.pad(images[index], ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)), constant_values=127)
        faces = teacher.detect(wide)
        if len(faces) != 1 or faces.points is None or faces.scores is None or faces.scores[0] < _SURE:
            continue
        kept.append(index)
        boxes.append(faces.boxes[0] - (_MARGIN, _MARGIN, 0, 0))
        points.append(faces.points[0] - _MARGIN)
    return Chips(images[kept], np.array(boxes, np.float32), np.array(points, np.float32))


def mask(random: np.random.Generator, box: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (SIDE, SIDE) opacities in [0, 1]: a superellipse around the box with a soft edge inside the chip."""
    centre = box[:2] + box[2:] / 2
    reach = np.minimum(centre, SIDE - centre).clip(8)
    exponent, soft = random.uniform(*_SQUARENESS), random.uniform(0.06, 0.3)
    place = np.arange(SIDE, dtype=np.float32) + 0.5
    across, down = (np.abs((place - centre[axis]) / reach[axis]) ** exponent for axis in (0, 1))
    distance = (across[None, :] + down[:, None]) ** (1 / exponent)
    return np.asarray(((1 - distance) / soft).clip(0, 1), np.float32)
