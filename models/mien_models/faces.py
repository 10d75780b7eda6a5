"""Where the faces are: what a detector returns and the cutter takes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """The N faces of one image, in pixels of the upright image.

    Coordinates are continuous: pixel column i covers [i, i + 1). Boxes and points may lie past the image's edges.
    """

    boxes: NDArray[np.float32]
    """(N, 4) x, y, width, height: the tight box that YuNet draws, from the forehead to the chin."""
    points: NDArray[np.float32] | None = None
    """(N, 5, 2) x, y of the subject's right eye (left in the picture), left eye, nose, right and left mouth corner.

    None where the detector finds no points.
    """
    scores: NDArray[np.float32] | None = None
    """(N,) in [0, 1]; None where the detector has no score that is a probability."""

    def __len__(self) -> int:
        return len(self.boxes)

    def largest_first(self, limit: int) -> "Faces":
        """Return the `limit` faces of largest area, largest first; equal ones keep their order."""
        return self.take(np.argsort(-self.boxes[:, 2] * self.boxes[:, 3], kind="stable")[:limit])

    def take(self, places: NDArray[np.intp]) -> "Faces":
        """Return the faces at the given places (M,), in that order."""
        return Faces(
            boxes=self.boxes[places],
            points=None if self.points is None else self.points[places],
            scores=None if self.scores is None else self.scores[places],
        )

    def moved(self, right: float, down: float) -> "Faces":
        """Return the faces moved by some pixels."""
        shift = np.array([right, down, 0, 0], np.float32)
        return Faces(self.boxes + shift, None if self.points is None else self.points + shift[:2], self.scores)

    def scaled(self, factor: float | NDArray[np.float32]) -> "Faces":
        """Return the faces as they lie in the image scaled by `factor`: one number, or (2,) for x and y."""
        both = np.broadcast_to(np.asarray(factor, np.float32), 2)
        return Faces(self.boxes * np.tile(both, 2), None if self.points is None else self.points * both, self.scores)
