"""Assign true faces to prediction cells.

SimOTA (Ge et al., YOLOX, arXiv 2107.08430) for all images of a batch at once, and assignment from a teacher's cells.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

_CENTRE = 2.5  # centre radius, in strides
_MOST = 10  # candidate boxes whose IoUs are summed into a face's number of positive cells
_OVERLAP_WEIGHT = 3.0
_LARGEST = 6.0  # upper limit of log(side of a box / stride)
_TEACHER_SCORE = 0.25  # lowest score of a teacher's cell that is used
_TEACHER_OVERLAP = 0.5  # lowest IoU of a teacher's box with a true box
_FAR = 1e5  # cost of a cell outside the box or the centre radius


@dataclass(frozen=True, slots=True)
class Assignment:
    """K pairs of a true face and a cell."""

    faces: Tensor
    """(K,) row indices of the true boxes."""
    cells: Tensor
    """(K,) column indices of the predictions."""
    scores: Tensor
    """(K,) target scores in [0, 1]."""
    points: Tensor
    """(K, 5, 2) target landmarks; NaN where unknown."""


def decode(predictions: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Decode (..., P, 15) predictions into (..., P, 4) boxes and (..., P, 5, 2) points; `places` (P, 3) as `cells`."""
    stride, corners = places[:, 2:], places[:, :2]
    centres = (corners + predictions[..., 1:3]) * stride
    sizes = predictions[..., 3:5].clamp(max=_LARGEST).exp() * stride
    points = predictions[..., 5:].reshape(*predictions.shape[:-1], 5, 2)
    return torch.cat([centres - sizes / 2, sizes], -1), (points + corners[:, None]) * stride[:, None]


def overlap(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the element-wise IoU of two sets of (..., 4) boxes x, y, width, height."""
    low = torch.maximum(boxes[..., :2], others[..., :2])
    high = torch.minimum(boxes[..., :2] + boxes[..., 2:], others[..., :2] + others[..., 2:])
    both = (high - low).clamp(min=0).prod(-1)
    return both / (boxes[..., 2:].prod(-1) + others[..., 2:].prod(-1) - both).clamp(min=1e-6)


@torch.no_grad()
def assign(boxes: Tensor, scores: Tensor, cells: Tensor, truth: Tensor, points: Tensor, picture: Tensor) -> Assignment:
    """Assign faces to cells with SimOTA; a cell gets at most one face, and the square root of its IoU as target score.

    `boxes` (B, P, 4) and `scores` (B, P) are predicted boxes and logits; `cells` (P, 3) column, row and stride; `truth`
    (G, 4) the batch's faces, `points` (G, 5, 2) their landmarks, `picture` (G,) each face's image index in the batch.
    """
    stride = cells[:, 2]
    centres = (cells[:, :2] + 0.5) * stride[:, None]
    low, high = truth[:, None, :2], truth[:, None, :2] + truth[:, None, 2:]
    inside = ((centres > low) & (centres < high)).all(2)
    near = ((centres - (low + high) / 2).abs() < _CENTRE * stride[:, None]).all(2)
    candidate, best = inside | near, inside & near
    shared = overlap(boxes[picture], truth[:, None]) * candidate
    cost = torch.nn.functional.softplus(-scores)[picture] - _OVERLAP_WEIGHT * shared.clamp(min=1e-8).log()
    cost = torch.where(best, cost, cost + _FAR).masked_fill(~candidate, torch.inf)
    chosen = _cheapest(cost, shared)
    # A cell that several faces of an image match is assigned to the cheapest of them.
    wanted = cost.masked_fill(~chosen, torch.inf)
    lowest = torch.full((len(boxes), len(cells)), torch.inf)
    lowest = lowest.scatter_reduce(0, picture[:, None].expand_as(wanted), wanted, "amin")
    chosen &= cost <= lowest[picture]
    faces, columns = chosen.nonzero(as_tuple=True)
    return Assignment(faces, columns, shared[faces, columns].sqrt(), points[faces])


@torch.no_grad()
def assign_from_teacher(
    predictions: Tensor, cells: Tensor, truth: Tensor, points: Tensor, picture: Tensor
) -> Assignment:
    """Assign faces to a teacher's confident cells, with its scores.

    `predictions` (B, P, 15) are the teacher's, with scores in [0, 1] instead of logits; the other arguments as for
    `assign`. Teacher detections without a true face are ignored, and so are its landmarks: they underestimate tilt.
    """
    boxes, _ = decode(predictions, cells)
    rows, columns = (predictions[..., 0] > _TEACHER_SCORE).nonzero(as_tuple=True)
    shared = overlap(boxes[rows, columns][:, None], truth) * (picture == rows[:, None])
    best, faces = torch.nn.functional.pad(shared, (0, 1)).max(1)  # one more column: a batch may have no face
    sure = best > _TEACHER_OVERLAP
    rows, columns, faces = rows[sure], columns[sure], faces[sure]
    return Assignment(faces, columns, predictions[rows, columns, 0], points[faces])


def _cheapest(cost: Tensor, shared: Tensor) -> Tensor:
    """Mark each face's k cheapest candidates; k is the sum of its highest IoUs, at least 1."""
    most = min(_MOST, cost.shape[1])
    wanted = shared.topk(most, dim=1).values.sum(1).int().clamp(min=1)
    values, order = cost.topk(most, dim=1, largest=False)
    taken = (torch.arange(most) < wanted[:, None]) & values.isfinite()
    return torch.zeros_like(cost, dtype=torch.bool).scatter(1, order, taken)
