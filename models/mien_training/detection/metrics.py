"""Compare detected faces with true faces: recall, false positives and average precision, by face size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien_models.faces import Faces
from mien_training.detection.photographs import Photograph

Sizes = tuple[float, float]
ALL: Sizes = (0.0, math.inf)
COMMON: Sizes = (24.0, math.inf)
"""Faces large enough for their attributes to be estimated."""

_COVERED = 0.5  # fraction of a detected box inside an ignored one from which it is not counted


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """The matching of one photograph's detected boxes with its true boxes."""

    scores: NDArray[np.float32]
    """(D,) scores of the boxes that are counted."""
    hits: NDArray[np.bool_]
    """(D,) whether each box matches a face."""
    pairs: NDArray[np.intp]
    """(K, 2) index pairs of detected and true boxes that match, among all boxes passed in."""
    faces: int
    """Number of true faces that are counted."""


def match(
    found: Faces,
    boxes: NDArray[np.float32],
    ignored: NDArray[np.float32],
    *,
    least: float = 0.5,
    sizes: Sizes = ALL,
) -> Match:
    """Match detected boxes, highest score first, with the true `boxes` (N, 4) of highest IoU, at least `least`.

    Not counted are faces whose longer side is outside `sizes` (pixels, lower limit inclusive), and detected boxes that
    are inside `ignored` (M, 4) boxes, or outside `sizes` and without a face.
    """
    scores = np.ones(len(found), np.float32) if found.scores is None else found.scores
    counts = _within(boxes, sizes)
    shared = overlaps(found.boxes, boxes)
    covered = _covered(found.boxes, ignored)
    in_size = _within(found.boxes, sizes)
    free = np.ones(len(boxes), bool)
    kept, hits, pairs = [], [], []
    for row in np.argsort(-scores, kind="stable").tolist():
        open_ = np.where(free, shared[row], 0)
        best = int(open_.argmax()) if len(boxes) else -1
        if best >= 0 and open_[best] >= least:
            free[best] = False
            pairs.append((row, best))
            if counts[best]:
                kept.append(row)
                hits.append(True)
        elif not covered[row] and in_size[row]:
            kept.append(row)
            hits.append(False)
    return Match(
        scores[kept],
        np.array(hits, bool),
        np.array(pairs, np.intp).reshape(-1, 2),
        int(counts.sum()),
    )


def matches(found: Sequence[Faces], photographs: Sequence[Photograph], sizes: Sizes = ALL) -> list[Match]:
    """Match the detected faces of each photograph."""
    pairs = zip(found, photographs, strict=True)
    return [match(faces, item.boxes, item.ignored, sizes=sizes) for faces, item in pairs]


def average_precision(matched: Sequence[Match]) -> float:
    """Return the area under the precision-recall curve, with interpolated precision."""
    scores = np.concatenate([item.scores for item in matched])
    hits = np.concatenate([item.hits for item in matched])[np.argsort(-scores, kind="stable")]
    faces = sum(item.faces for item in matched)
    if not faces:
        return float("nan")
    true = np.cumsum(hits)
    precision = true / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[hits].sum() / faces)


def recall(matched: Sequence[Match], min_score: float = 0.0) -> float:
    """Return the fraction of faces detected with at least `min_score`."""
    hits = sum(int((item.hits & (item.scores >= min_score)).sum()) for item in matched)
    faces = sum(item.faces for item in matched)
    return hits / faces if faces else float("nan")


def false_boxes(matched: Sequence[Match], min_score: float = 0.0) -> int:
    """Return the number of false positives with at least `min_score`."""
    return sum(int((~item.hits & (item.scores >= min_score)).sum()) for item in matched)


def threshold(matched: Sequence[Match], allowed: int) -> float:
    """Return the lowest score threshold, in steps of 0.01, with at most `allowed` false positives."""
    wrong = np.sort(np.concatenate([item.scores[~item.hits] for item in matched]))[::-1]
    least = float(wrong[allowed]) if allowed < len(wrong) else 0.0
    return min(math.floor(least * 100) / 100 + 0.01, 0.99)


def overlaps(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the (N, M) IoUs of (N, 4) and (M, 4) boxes."""
    both = _shared(boxes, others)
    areas = boxes[:, None, 2:].prod(2) + others[None, :, 2:].prod(2)
    return np.asarray(both / np.maximum(areas - both, 1e-6), np.float32)


def _shared(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum((boxes[:, :2] + boxes[:, 2:])[:, None], (others[:, :2] + others[:, 2:])[None])
    return np.asarray((high - low).clip(0).prod(2), np.float32)


def _covered(boxes: NDArray[np.float32], ignored: NDArray[np.float32]) -> NDArray[np.bool_]:
    share = _shared(boxes, ignored) / boxes[:, None, 2:].prod(2).clip(1e-6)
    return np.asarray(share.max(1, initial=0) >= _COVERED)


def _within(boxes: NDArray[np.float32], sizes: Sizes) -> NDArray[np.bool_]:
    longer = boxes[:, 2:].max(1, initial=0)
    return np.asarray((longer >= sizes[0]) & (longer < sizes[1]))
