"""A detector that looks twice: at the whole image, and at overlapping tiles of it in which small faces are larger."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mien_models.detectors.base import Detector, shrink
from mien_models.faces import Faces

ENLARGED = 2
"""How much larger the image is in the second look than in the first, at most."""

SMALL = 32
"""Longer side of a face, in pixels of the first look, below which the image is looked at again."""

OVERLAP = 0.2
"""Share of a tile that its neighbour sees too: a face up to a fifth of the tile is whole in one of them."""

MAX_OVERLAP = 0.4
"""Intersection over union from which the weaker of two boxes of different looks is dropped."""


class Tiled:
    """A detector with scores, and a second look where the first saw a small face, or none, in a shrunk image."""

    def __init__(self, detector: Detector, *, long_side: int) -> None:
        """`long_side`: pixels to which the detector itself shrinks an image, and the side of a tile."""
        self.info = detector.info
        self._detector = detector
        self._side = long_side

    def detect(self, image: NDArray[np.uint8]) -> Faces:
        """Find the faces of an image (H, W, 3) uint8 RGB."""
        whole = self._detector.detect(image)
        longer = max(image.shape[:2])
        if longer <= self._side or not self._has_small(whole, longer / self._side):
            return whole
        large, factor = shrink(image, ENLARGED * self._side)
        parts = [whole]
        for left, top, tile in _tiles(large, self._side):
            found = _uncut(self._detector.detect(tile), (left, top), tile.shape, large.shape)
            parts.append(found.moved(left, top).scaled(factor))
        return _joined(parts)

    def _has_small(self, faces: Faces, shrunk: float) -> bool:
        sides = faces.boxes[:, 2:].max(1) / shrunk
        return not len(faces) or bool(sides.min() < SMALL)


def _tiles(image: NDArray[np.uint8], side: int) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    """Yield left, top and pixels of tiles of at most `side` pixels, evenly spread, that cover the image."""
    lefts, tops = (_starts(length, side) for length in (image.shape[1], image.shape[0]))
    for top in tops:
        for left in lefts:
            yield left, top, np.ascontiguousarray(image[top : top + side, left : left + side])


def _starts(length: int, side: int) -> list[int]:
    if length <= side:
        return [0]
    count = int(np.ceil((length - side) / (side * (1 - OVERLAP)))) + 1
    return [round(start) for start in np.linspace(0, length - side, count).tolist()]


def _uncut(faces: Faces, start: tuple[int, int], tile: tuple[int, ...], image: tuple[int, ...]) -> Faces:
    """Keep the faces that no edge between two tiles cuts; the neighbour, or the first look, has them whole."""
    low, high = faces.boxes[:, :2], faces.boxes[:, :2] + faces.boxes[:, 2:]
    size = np.array([tile[1], tile[0]])
    inner_low = np.array(start) > 0
    inner_high = np.array(start) + size < (image[1], image[0])
    cut = ((low < 1) & inner_low) | ((high > size - 1) & inner_high)
    return faces.take(np.flatnonzero(~cut.any(1)))


def _joined(parts: Sequence[Faces]) -> Faces:
    """Join the faces of several looks, each face once."""
    boxes = np.concatenate([part.boxes for part in parts])
    points = [part.points for part in parts if part.points is not None]
    scores = np.concatenate([part.scores for part in parts if part.scores is not None])
    kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), 0.0, MAX_OVERLAP)
    faces = Faces(boxes, np.concatenate(points) if points else None, scores)
    return faces.take(np.asarray(kept, np.intp).reshape(-1))
