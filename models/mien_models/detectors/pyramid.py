"""A detector that looks at a photograph more finely wherever the look before saw small faces, or none.

The first look has about as many pixels whatever the photograph's shape is, so that a panorama keeps its faces. Each
further one has twice the resolution. A portrait is looked at once.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from mien_models.detectors.base import DetectorInfo, shrink
from mien_models.faces import Faces

FINEST = 4
"""Resolution of the last look, relative to the first one."""

SMALL = 40
"""Longer side of a face, in pixels of a look, below which a finer look follows."""

SEARCHED = 20
"""Height of a face, in pixels of the last look, from which a face counts as searched for."""

SHAPE = 1.5
"""Aspect ratio up to which the first look is limited by its longer side, and beyond which by its number of pixels."""

TILE = 1280
"""Largest side of what is looked at in one piece, in pixels; it limits the memory that a look takes."""

OVERLAP = 0.2
"""Fraction of a tile that its neighbour covers too: faces up to this size are whole in one of them."""

MAX_OVERLAP = 0.4
"""Intersection over union from which the weaker of two boxes of different looks is dropped."""


class Looking(Protocol):
    """A detector that can look at an image at the image's own resolution."""

    info: DetectorInfo
    min_score: float

    def look(self, image: NDArray[np.uint8]) -> Faces:
        """Find the faces of an image (H, W, 3) uint8 RGB without shrinking it, with scores."""


class Pyramid:
    """A detector with further looks at twice, four times, ... the resolution of the first one."""

    def __init__(self, detector: Looking, *, long_side: int, finest: int | None = FINEST) -> None:
        """Wrap a detector.

        Args:
            detector: Looks at images.
            long_side: Longer side of the first look at a photograph of up to 3:2, in pixels.
            finest: Resolution of the last look, relative to the first one; None goes on to the image's own.

        """
        self.info = detector.info
        self._detector = detector
        self._side = long_side
        self._finest = math.inf if finest is None else finest

    def detect(self, image: NDArray[np.uint8]) -> Faces:
        """Find the faces of an image (H, W, 3) uint8 RGB; `Faces.searched` tells from which height on."""
        longer = max(image.shape[:2])
        first = first_side(image.shape[1], image.shape[0], self._side)
        last = min(longer, self._finest * first)
        side = min(first, longer)
        found = self._look(image, side)
        parts = [found]
        while side < last and (_small(found, side / longer) or (len(parts) == 1 and not len(found))):
            side = int(min(2 * side, last))
            found = self._sure(self._look(image, side), parts)
            # What is large here was seen in the look before; parts of it are no faces.
            most = 4 * SMALL * longer / side if any(map(len, parts)) else math.inf
            parts.append(found.take(np.flatnonzero(found.boxes[:, 2:].max(1, initial=0) < most)))
        faces = parts[0] if len(parts) == 1 else _joined(parts)
        return faces.searched_from(SEARCHED * longer / side)

    def _sure(self, found: Faces, before: Sequence[Faces]) -> Faces:
        """Return the faces of a look, or none where it follows looks without faces and is sure of no face itself.

        Finer looks see more that resembles a face: without this an image without faces gets three times as many.
        """
        sure = (1 + self._detector.min_score) / 2
        if any(map(len, before)) or found.scores is None or (found.scores >= sure).any():
            return found
        return found.take(np.zeros(0, np.intp))

    def _look(self, image: NDArray[np.uint8], side: int) -> Faces:
        """Look at an image shrunk to a longer side of `side` pixels, tile by tile; faces are in the image's pixels."""
        small, factor = shrink(image, side)
        if max(small.shape[:2]) <= TILE:
            return self._detector.look(small).scaled(factor)
        parts = [
            _uncut(self._detector.look(tile), (left, top), tile.shape, small.shape).moved(left, top)
            for left, top, tile in _tiles(small, TILE)
        ]
        return _joined(parts).scaled(factor)


def first_side(width: int, height: int, long_side: int) -> int:
    """Return the longer side of the first look at a photograph, in pixels: `long_side`, more for elongated ones."""
    aspect = max(width, height) / min(width, height)
    return max(long_side, round(long_side * math.sqrt(aspect / SHAPE)))


def _small(faces: Faces, scale: float) -> bool:
    """Return whether any face is small in a look at `scale` times the image's resolution."""
    return bool((faces.boxes[:, 2:].max(1, initial=0) * scale < SMALL).any())


def _tiles(image: NDArray[np.uint8], side: int) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    """Yield left, top and pixels of evenly spread tiles, of at most `side` pixels, that cover the image."""
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
