"""Multi-pass detection: finer passes over an image as long as a pass finds small faces, or none.

The first pass has about the same number of pixels for any aspect ratio, so that faces in panoramas are found. Each
further pass doubles the resolution. A portrait takes one pass.
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
"""Resolution of the last pass, relative to the first one."""

SMALL = 40
"""Longer side of a face, in pixels of a pass, below which a finer pass follows."""

SEARCHED = 20
"""Height of a face, in pixels of the last pass, from which a face counts as searched for."""

SHAPE = 1.5
"""Aspect ratio up to which the first pass is limited by its longer side, and above which by its number of pixels."""

TILE = 1280
"""Largest side of a tile, in pixels; it limits the memory of a pass."""

OVERLAP = 0.2
"""Overlap of neighbouring tiles as a fraction: faces up to this size are complete in one of them."""

MAX_OVERLAP = 0.4
"""IoU from which the lower-scored of two boxes of different passes is dropped."""


class Looking(Protocol):
    """A detector that can process an image at its own resolution."""

    info: DetectorInfo
    min_score: float

    def detect_unscaled(self, image: NDArray[np.uint8], least_score: float | None = None) -> Faces:
        """Detect the faces of an image (H, W, 3) uint8 RGB without shrinking it, with scores.

        `least_score` replaces the detector's own threshold.
        """


class Pyramid:
    """A detector with further passes at twice, four times, ... the resolution of the first one."""

    def __init__(self, detector: Looking, *, long_side: int, finest: int | None = FINEST) -> None:
        """Wrap a detector.

        Args:
            detector: Processes the images.
            long_side: Longer side of the first pass for aspect ratios up to 3:2, in pixels.
            finest: Resolution of the last pass, relative to the first one; None for the image's own.

        """
        self.info = detector.info
        self.min_score: float = detector.min_score
        """Score threshold of `detect`."""
        self._detector = detector
        self._side = long_side
        self._finest = math.inf if finest is None else finest

    def detect(self, image: NDArray[np.uint8]) -> Faces:
        """Detect the faces of an image (H, W, 3) uint8 RGB; `Faces.searched` is the height from which on."""
        side = self._first_side(image)
        return self._refine(image, self._look(image, side), side)

    def detect_with_weak(self, image: NDArray[np.uint8], least_score: float) -> Faces:
        """As `detect`, with the faces that the first pass finds with a lower score beside the others."""
        side = self._first_side(image)
        found = self._look(image, side, least_score)
        assert found.scores is not None
        strong = found.scores >= self.min_score
        faces = self._refine(image, found.take(np.flatnonzero(strong)), side)
        if strong.all():
            return faces
        return _joined([faces, found.take(np.flatnonzero(~strong))]).searched_from(faces.searched or 0.0)

    def _first_side(self, image: NDArray[np.uint8]) -> int:
        height, width = image.shape[:2]
        longer: int = max(width, height)
        return min(first_side(width, height, self._side), longer)

    def _refine(self, image: NDArray[np.uint8], found: Faces, side: int) -> Faces:
        """Add the faces of finer passes, where they are needed, to those of the first pass."""
        longer = max(image.shape[:2])
        last = min(longer, self._finest * first_side(image.shape[1], image.shape[0], self._side))
        parts = [found]
        while side < last and (_small(found, side / longer) or (len(parts) == 1 and not len(found))):
            side = int(min(2 * side, last))
            found = self._sure(self._look(image, side), parts)
            # Faces that are large here were found in the previous pass; these are parts of them.
            most = 4 * SMALL * longer / side if any(map(len, parts)) else math.inf
            parts.append(found.take(np.flatnonzero(found.boxes[:, 2:].max(1, initial=0) < most)))
        faces = parts[0] if len(parts) == 1 else _joined(parts)
        return faces.searched_from(SEARCHED * longer / side)

    def _sure(self, found: Faces, before: Sequence[Faces]) -> Faces:
        """Return the faces of a pass, or none if it follows passes without faces and has no confident detection.

        Finer passes have more false positives: without this, images without faces have three times as many.
        """
        sure = (1 + self._detector.min_score) / 2
        if any(map(len, before)) or found.scores is None or (found.scores >= sure).any():
            return found
        return found.take(np.zeros(0, np.intp))

    def _look(self, image: NDArray[np.uint8], side: int, least_score: float | None = None) -> Faces:
        """Process an image shrunk to a longer side of `side` pixels, tile by tile; faces are in the image's pixels."""
        small, factor = shrink(image, side)
        if max(small.shape[:2]) <= TILE:
            return self._unscaled(small, least_score).scaled(factor)
        parts = [
            _uncut(self._unscaled(tile, least_score), (left, top), tile.shape, small.shape).moved(left, top)
            for left, top, tile in _tiles(small, TILE)
        ]
        return _joined(parts).scaled(factor)

    def _unscaled(self, image: NDArray[np.uint8], least_score: float | None) -> Faces:
        if least_score is None:
            return self._detector.detect_unscaled(image)
        return self._detector.detect_unscaled(image, least_score)


def first_side(width: int, height: int, long_side: int) -> int:
    """Return the longer side of the first pass, in pixels: `long_side`, more for elongated images."""
    aspect = max(width, height) / min(width, height)
    return max(long_side, round(long_side * math.sqrt(aspect / SHAPE)))


def _small(faces: Faces, scale: float) -> bool:
    """Return whether any face is small in a pass at `scale` times the image's resolution."""
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
