"""Detected faces: boxes, landmarks and scores."""

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """The N faces of one image, in pixels of the upright image.

    Coordinates are continuous: pixel column i covers [i, i + 1). Boxes and points may extend past the image's edges.
    """

    boxes: NDArray[np.float32]
    """(N, 4) x, y, width, height: a tight box as YuNet's, from the forehead to the chin."""
    points: NDArray[np.float32] | None = None
    """(N, 5, 2) x, y of the subject's right eye (left in the image), left eye, nose, right and left mouth corner.

    None if the detector has no landmarks.
    """
    scores: NDArray[np.float32] | None = None
    """(N,) in [0, 1]; None if the detector has no scores."""
    searched: float | None = None
    """Height, in pixels of the image, from which faces were searched for; None if unknown."""

    def __len__(self) -> int:
        return len(self.boxes)

    def largest_first(self, limit: int) -> "Faces":
        """Return the `limit` largest faces by area, largest first; ties keep their order."""
        return self.take(np.argsort(-self.boxes[:, 2] * self.boxes[:, 3], kind="stable")[:limit])

    def take(self, places: NDArray[np.intp]) -> "Faces":
        """Return the faces at the given indices (M,), in that order."""
        return Faces(
            boxes=self.boxes[places],
            points=None if self.points is None else self.points[places],
            scores=None if self.scores is None else self.scores[places],
            searched=self.searched,
        )

    def moved(self, right: float, down: float) -> "Faces":
        """Return the faces translated by some pixels."""
        shift = np.array([right, down, 0, 0], np.float32)
        points = None if self.points is None else self.points + shift[:2]
        return Faces(self.boxes + shift, points, self.scores, self.searched)

    def searched_from(self, height: float) -> "Faces":
        """Return the faces with the smallest height, in pixels, that was searched for."""
        return dataclasses.replace(self, searched=height)

    def scaled(self, factor: float | NDArray[np.float32]) -> "Faces":
        """Return the faces in the coordinates of the image scaled by `factor`: one number, or (2,) for x and y."""
        both = np.broadcast_to(np.asarray(factor, np.float32), 2)
        points = None if self.points is None else self.points * both
        searched = None if self.searched is None else self.searched * float(both[1])
        return Faces(self.boxes * np.tile(both, 2), points, self.scores, searched)
