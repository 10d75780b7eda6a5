"""Assign detections to tracks: similarity of boxes and landmarks, and the optimal assignment (Kuhn-Munkres)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien_orchestrator.pipeline.video.track import Detections, Floats, Track

_LANDMARK_SCALE = 0.35
"""Mean distance of the five points, in heights, at which their similarity is 1/e."""

_LANDMARKS_WEIGHT = 0.5
"""Weight of the landmarks' similarity beside that of the overlap."""


def similarity(tracks: Sequence[Track], found: Detections, places: NDArray[np.intp]) -> Floats:
    """Return (T, D) the similarity of tracks and detections, 0 to 1: of their overlap and of their landmarks."""
    overlap = overlaps(np.stack([track.box for track in tracks]), found.boxes[places])
    if found.points is None or any(track.points is None for track in tracks):
        return overlap
    ours = np.stack([track.landmarks for track in tracks if track.landmarks is not None])
    apart = np.linalg.norm(ours[:, None] - found.points[places][None], axis=3).mean(2)
    heights = np.array([track.state[3, 0] for track in tracks])[:, None]
    near = np.exp(-apart / (_LANDMARK_SCALE * heights))
    both: Floats = (1 - _LANDMARKS_WEIGHT) * overlap + _LANDMARKS_WEIGHT * near
    return both


def overlaps(first: Floats, second: Floats) -> Floats:
    """Return (N, M) the intersection over union of boxes (N, 4) and (M, 4): x, y, width, height."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, :2] + first[:, None, 2:], second[None, :, :2] + second[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(2)
    areas = first[:, 2:].prod(1)[:, None] + second[:, 2:].prod(1)[None]
    shared: Floats = common / np.maximum(areas - common, 1e-9)
    return shared


def assign(gain: Floats) -> tuple[list[int], list[int]]:
    """Return the rows and columns of the assignment with the greatest sum of gains (N, M).

    Every row, or every column if there are fewer of them, is assigned. The algorithm of Kuhn and Munkres with shortest
    augmenting paths, O(N^2 M); as `scipy.optimize.linear_sum_assignment(gain, maximize=True)`; SciPy has 100 MB.
    """
    if gain.shape[0] > gain.shape[1]:
        columns, rows = assign(gain.T)
        order = np.argsort(rows, kind="stable").tolist()
        return [rows[place] for place in order], [columns[place] for place in order]
    count, width = gain.shape
    cost = -gain
    row_potential, column_potential = np.zeros(count), np.zeros(width)
    owner = np.full(width, -1)
    for start in range(count):
        shortest, previous = np.full(width, np.inf), np.full(width, -1)
        done = np.zeros(width, bool)
        row, column, length = start, -1, 0.0
        while True:
            slack = length + cost[row] - row_potential[row] - column_potential
            better = ~done & (slack < shortest)
            shortest[better], previous[better] = slack[better], column
            column = int(np.where(done, np.inf, shortest).argmin())
            length = float(shortest[column])
            done[column] = True
            if owner[column] < 0:
                break
            row = int(owner[column])
        row_potential[start] += length
        for other in np.flatnonzero(done).tolist():
            if owner[other] >= 0:
                row_potential[owner[other]] += length - shortest[other]
            column_potential[other] -= length - shortest[other]
        while column >= 0:
            before = int(previous[column])
            owner[column] = owner[before] if before >= 0 else start
            column = before
    assigned = [(int(row), column) for column, row in enumerate(owner) if row >= 0]
    return [row for row, _ in sorted(assigned)], [column for _, column in sorted(assigned)]
