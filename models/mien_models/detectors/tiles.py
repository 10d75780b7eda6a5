"""Two-pass detection: on the whole image, and on overlapping tiles of it in which small faces are larger."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mien_models.detectors.base import Detector, shrink
from mien_models.faces import Faces

ENLARGED = 2
"""Maximum scale of the second pass relative to the first."""

SMALL = 32
"""Longer side of a face, in pixels of the first pass, below which the second pass runs."""

OVERLAP = 0.2
"""Overlap of neighbouring tiles: a face up to a fifth of a tile is complete in one of them."""

MAX_OVERLAP = 0.4
"""IoU from which the lower-scored of two boxes of different passes is dropped."""


class Tiled:
    """A detector with a second pass over tiles if the first found small faces, or none, in a shrunk image."""

    def __init__(self, detector: Detector, *, long_side: int) -> None:
        """`long_side`: pixels to which the inner detector shrinks an image, and the side of a tile."""
        self.info = detector.info
        self._detector = detector
        self._side = long_side

    def detect(self, image: NDArray[np.uint8]) -> Faces:
        """Detect the faces of an image (H, W, 3) uint8 RGB."""
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
    """Yield left, top and pixels of evenly spread tiles of at most `side` pixels that cover the image."""
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
    """Drop faces cut by an inner tile edge; the neighbouring tile, or the first pass, has them complete."""
    low, high = faces.boxes[:, :2], faces.boxes[:, :2] + faces.boxes[:, 2:]
    size = np.array([tile[1], tile[0]])
    inner_low = np.array(start) > 0
    inner_high = np.array(start) + size < (image[1], image[0])
    cut = ((low < 1) & inner_low) | ((high > size - 1) & inner_high)
    return faces.take(np.flatnonzero(~cut.any(1)))


def _joined(parts: Sequence[Faces]) -> Faces:
    """Merge the faces of all passes, each face once."""
    boxes = np.concatenate([part.boxes for part in parts])
    points = [part.points for part in parts if part.points is not None]
    scores = np.concatenate([part.scores for part in parts if part.scores is not None])
    kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), 0.0, MAX_OVERLAP)
    faces = Faces(boxes, np.concatenate(points) if points else None, scores)
    return faces.take(np.asarray(kept, np.intp).reshape(-1))
