"""One tracked face: a constant-velocity Kalman filter for its box.

As in SORT (Bewley et al., arXiv 1602.00763), with noise relative to the face's height as in DeepSORT (Wojke et al.,
arXiv 1703.07402).
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mien_models.faces import Faces

Floats = NDArray[np.float64]

POSITION_NOISE = 0.025
"""Standard deviation of a measured box's position and size, relative to its height. Measured: 1 to 3 %."""

_ACCELERATION = 3.0
"""Density of the random acceleration of a face, in heights / s^1.5: people turn and stop, cameras shake."""

_GROWTH = 0.4
"""The same for a face's width and height."""

_START_SPEED = 1.5
"""Standard deviation of a new face's velocity, in heights per second."""

_START_GROWTH = 0.3


@dataclass(slots=True)
class Track:
    """One face; times are in milliseconds, as the timestamps of the frames."""

    id: int
    """From 1; 0 until it is confirmed."""
    first_ms: float
    seen_ms: float
    """Time of the last frame that shows the face."""
    state: Floats
    """(4, 2) centre x, centre y, width and height in pixels, each with its change per second."""
    covariance: Floats
    """(4, 2, 2)"""
    points: Floats | None
    """(5, 2) landmarks relative to the box: 0 to 1 from its left and top edge."""
    score: float
    """Mean score of its detections until it is confirmed, then that of the last one."""
    hits: int = 1
    """Detections so far."""
    frames: int = 1
    """Frames that show the face."""
    visible: bool = True
    """Whether the last frame shows the face."""
    path: deque[tuple[float, float, float]] = field(default_factory=deque)
    """Times and centres of the last confident detections."""

    @property
    def box(self) -> Floats:
        """(4,) x, y, width, height in pixels."""
        centre_x, centre_y, width, height = self.state[:, 0].tolist()
        return np.array([centre_x - width / 2, centre_y - height / 2, width, height])

    @property
    def landmarks(self) -> Floats | None:
        """(5, 2) in pixels."""
        box = self.box
        return None if self.points is None else box[:2] + self.points * box[2:]


@dataclass(frozen=True, slots=True)
class Detections:
    """Detections in double precision."""

    boxes: Floats
    points: Floats | None
    scores: Floats

    @classmethod
    def of(cls, faces: Faces) -> "Detections":
        """Return the detections of faces; without scores, all are 1."""
        scores = np.ones(len(faces)) if faces.scores is None else faces.scores
        points = None if faces.points is None else faces.points.astype(np.float64)
        return cls(faces.boxes.astype(np.float64), points, scores.astype(np.float64))


def new_track(found: Detections, place: int, now_ms: float) -> Track:
    """Return an unconfirmed track of a detection."""
    x, y, width, height = found.boxes[place].tolist()
    state = np.array([[x + width / 2, 0], [y + height / 2, 0], [width, 0], [height, 0]], np.float64)
    speeds = np.array([_START_SPEED, _START_SPEED, _START_GROWTH, _START_GROWTH]) * height
    covariance = np.zeros((4, 2, 2))
    covariance[:, 0, 0] = (POSITION_NOISE * height) ** 2
    covariance[:, 1, 1] = speeds**2
    points = None if found.points is None else (found.points[place] - [x, y]) / [width, height]
    return Track(0, now_ms, now_ms, state, covariance, points, float(found.scores[place]))


def predict(track: Track, seconds: float) -> None:
    """Predict a track by constant velocity, with the process noise of a random acceleration."""
    step = np.array([[1.0, seconds], [0.0, 1.0]])
    if not track.visible:
        track.state[2:, 1] = 0.0  # an occlusion changes the size of the box, not the distance of the face
    track.state = track.state @ step.T
    height = max(track.state[3, 0], 1.0)
    track.state[2:, 0] = np.maximum(track.state[2:, 0], 1.0)
    density = (np.array([_ACCELERATION, _ACCELERATION, _GROWTH, _GROWTH]) * height) ** 2
    noise = np.array([[seconds**3 / 3, seconds**2 / 2], [seconds**2 / 2, seconds]])
    track.covariance = step @ track.covariance @ step.T + density[:, None, None] * noise


def correct(track: Track, box: Floats, noise: float) -> None:
    """Correct a track by a measured box (4,) x, y, width, height; `noise` is relative to its height."""
    measured = np.array([box[0] + box[2] / 2, box[1] + box[3] / 2, box[2], box[3]])
    variance = (noise * max(track.state[3, 0], 1.0)) ** 2
    gain = track.covariance[:, :, 0] / (track.covariance[:, 0, 0] + variance)[:, None]
    track.state = track.state + gain * (measured - track.state[:, 0])[:, None]
    track.state[2:, 0] = np.maximum(track.state[2:, 0], 1.0)
    track.covariance = track.covariance - gain[:, :, None] * track.covariance[:, None, 0, :]
