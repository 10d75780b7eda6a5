"""Metrics of video answers: identity against a known truth, flicker of labels, scatter of ages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import pstdev

import numpy as np

from mien_orchestrator.pipeline.video.assignment import assign, overlaps
from mien_orchestrator.pipeline.video.track import Floats

OVERLAP = 0.5
"""Intersection over union from which a box is that of a true face."""

Boxes = Mapping[int, Floats]
"""Boxes (4,) x, y, width, height by identity."""


@dataclass(frozen=True, slots=True)
class Truth:
    """The faces of a clip, frame by frame."""

    visible: Sequence[Boxes]
    covered: Sequence[Boxes]
    """Faces that are hidden behind something: neither to be found nor wrong if they are."""


@dataclass(frozen=True, slots=True)
class Identity:
    """How well tracks follow true faces."""

    idf1: float
    """Ristani et al., arXiv 1609.01775: the harmonic mean of identification precision and recall, 0 to 1."""
    switches: int
    """Times at which a true face changes its track (Bernardin and Stiefelhagen, CLEAR MOT, 2008)."""
    tracks: int
    """Number of tracks."""


def read_truth(path: Path, frames: int) -> Truth:
    """Read a file in MOT format: frame from 1, id, x, y, w, h, 1 for a visible face or 0, and three unused columns."""
    visible: list[dict[int, Floats]] = [{} for _ in range(frames)]
    covered: list[dict[int, Floats]] = [{} for _ in range(frames)]
    for line in path.read_text().splitlines():
        if line:
            frame, identity, x, y, width, height, seen, *_ = line.split(",")
            if int(frame) <= frames:
                kept = visible if int(seen) else covered
                kept[int(frame) - 1][int(identity)] = np.array([x, y, width, height], np.float64)
    return Truth(visible, covered)


def identity(truth: Truth, found: Sequence[Boxes]) -> Identity:
    """Return the metrics of the tracks that were found in each frame."""
    together: dict[tuple[int, int], int] = {}
    true_count, found_count, switches = 0, 0, 0
    last: dict[int, int] = {}
    for visible, covered, boxes in zip(truth.visible, truth.covered, found, strict=True):
        counted = {track: box for track, box in boxes.items() if not _over(box, covered) or _over(box, visible)}
        true_count += len(visible)
        found_count += len(counted)
        for face, tracks in _matches(visible, counted).items():
            for track in tracks:
                together[face, track] = together.get((face, track), 0) + 1
        for face, track in _best_pairs(visible, counted, last).items():
            switches += last.get(face, track) != track
            last[face] = track
    correct = _most_frames(together)
    total = true_count + found_count
    return Identity(2 * correct / total if total else 1.0, switches, len({track for _, track in together}))


def _over(box: Floats, others: Boxes) -> bool:
    return bool(others) and bool((overlaps(box[None], np.stack(list(others.values()))) >= OVERLAP).any())


def _matches(visible: Boxes, boxes: Boxes) -> dict[int, list[int]]:
    """Return the tracks that overlap each true face."""
    if not visible or not boxes:
        return {}
    shared = overlaps(np.stack(list(visible.values())), np.stack(list(boxes.values()))) >= OVERLAP
    names = list(boxes)
    return {face: [names[place] for place in np.flatnonzero(shared[row])] for row, face in enumerate(visible)}


def _best_pairs(visible: Boxes, boxes: Boxes, last: Mapping[int, int]) -> dict[int, int]:
    """Return the track of each true face: the one that it had, if it still overlaps, else by greatest overlap."""
    if not visible or not boxes:
        return {}
    faces, tracks = list(visible), list(boxes)
    shared = overlaps(np.stack([visible[face] for face in faces]), np.stack([boxes[track] for track in tracks]))
    kept = np.array([[last.get(face) == track for track in tracks] for face in faces])
    gain = np.where(shared >= OVERLAP, shared + kept, 0.0)
    return {faces[row]: tracks[column] for row, column in zip(*assign(gain), strict=True) if gain[row, column] > 0}


def _most_frames(together: Mapping[tuple[int, int], int]) -> int:
    """Return the most frames that faces and tracks have in common, each face with one track."""
    if not together:
        return 0
    faces, tracks = (sorted(set(names)) for names in zip(*together, strict=True))
    gain = np.array([[together.get((face, track), 0) for track in tracks] for face in faces], np.float64)
    return int(gain[assign(gain)].sum())


def flips(labels: Sequence[str | None]) -> float:
    """Return the changes per 100 frames between labels that follow each other; frames without one are left out."""
    known = [label for label in labels if label is not None]
    return 100 * sum(a != b for a, b in pairwise(known)) / max(len(known) - 1, 1)


def scatter(ages: Sequence[float | None]) -> float | None:
    """Return the standard deviation of the known ages; None without two of them."""
    known = [age for age in ages if age is not None]
    return pstdev(known) if len(known) > 1 else None


def jain(shares: Sequence[float]) -> float:
    """Return Jain's index of fairness, 1/N to 1 (Jain, Chiu and Hawe, DEC-TR-301, 1984)."""
    values = np.array(shares, np.float64)
    return float(values.sum() ** 2 / (len(values) * (values**2).sum())) if values.any() else 1.0
