"""Which cells learn which face: predictions and true boxes in, pairs of face and cell out.

SimOTA of Ge et al., YOLOX, arXiv 2107.08430, for all pictures of a batch at once, and the cells of a teacher.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

_CENTRE = 2.5  # reach of a face's centre, in strides
_MOST = 10  # boxes whose overlaps are summed to say how many cells a face gets
_OVERLAP_WEIGHT = 3.0
_LARGEST = 6.0  # log of a box's side in strides
_TAUGHT_SCORE = 0.25  # score from which a teacher's cell teaches
_TAUGHT_OVERLAP = 0.5  # intersection over union of its box and a true one from which it is believed
_FAR = 1e5  # cost of a cell that is not both in the box and near its centre


@dataclass(frozen=True, slots=True)
class Assignment:
    """K pairs of face and cell."""

    faces: Tensor
    """(K,) rows of the true boxes."""
    cells: Tensor
    """(K,) columns of the predictions."""
    scores: Tensor
    """(K,) in [0, 1], what the cells' scores are to be."""
    points: Tensor
    """(K, 5, 2) what the cells' points are to be; NaN where unknown."""


def decode(predictions: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Turn (..., P, 15) predictions into (..., P, 4) boxes and (..., P, 5, 2) points; `places` (P, 3) as `cells`."""
    stride, corners = places[:, 2:], places[:, :2]
    centres = (corners + predictions[..., 1:3]) * stride
    sizes = predictions[..., 3:5].clamp(max=_LARGEST).exp() * stride
    points = predictions[..., 5:].reshape(*predictions.shape[:-1], 5, 2)
    return torch.cat([centres - sizes / 2, sizes], -1), (points + corners[:, None]) * stride[:, None]


def overlap(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the intersection over union of (..., 4) boxes x, y, width, height, each with its fellow."""
    low = torch.maximum(boxes[..., :2], others[..., :2])
    high = torch.minimum(boxes[..., :2] + boxes[..., 2:], others[..., :2] + others[..., 2:])
    both = (high - low).clamp(min=0).prod(-1)
    return both / (boxes[..., 2:].prod(-1) + others[..., 2:].prod(-1) - both).clamp(min=1e-6)


@torch.no_grad()
def assign(boxes: Tensor, scores: Tensor, cells: Tensor, truth: Tensor, points: Tensor, picture: Tensor) -> Assignment:
    """Pair faces with cells; a cell learns at most one face, and the root of its box's overlap as its score.

    `boxes` (B, P, 4) and `scores` (B, P) logits as predicted; `cells` (P, 3) column, row and stride; `truth` (G, 4) the
    batch's faces, (G, 5, 2) their `points`, (G,) `picture` the row of the batch that each is in.
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
    # A cell wanted by several faces of its picture learns the one that costs least.
    wanted = cost.masked_fill(~chosen, torch.inf)
    lowest = torch.full((len(boxes), len(cells)), torch.inf)
    lowest = lowest.scatter_reduce(0, picture[:, None].expand_as(wanted), wanted, "amin")
    chosen &= cost <= lowest[picture]
    faces, columns = chosen.nonzero(as_tuple=True)
    return Assignment(faces, columns, shared[faces, columns].sqrt(), points[faces])


@torch.no_grad()
def taught(predictions: Tensor, cells: Tensor, truth: Tensor, points: Tensor, picture: Tensor) -> Assignment:
    """Pair faces with the cells in which a teacher sees them: its scores, and its points where none are known.

    `predictions` (B, P, 15) are the teacher's, with scores instead of logits; the others as for `assign`. What the
    teacher sees where there is no face teaches nothing.
    """
    boxes, marks = decode(predictions, cells)
    rows, columns = (predictions[..., 0] > _TAUGHT_SCORE).nonzero(as_tuple=True)
    shared = overlap(boxes[rows, columns][:, None], truth) * (picture == rows[:, None])
    best, faces = torch.nn.functional.pad(shared, (0, 1)).max(1)  # a column more: there may be no face at all
    sure = best > _TAUGHT_OVERLAP
    rows, columns, faces = rows[sure], columns[sure], faces[sure]
    known = torch.where(points[faces].isnan(), marks[rows, columns], points[faces])
    return Assignment(faces, columns, predictions[rows, columns, 0], known)


def _cheapest(cost: Tensor, shared: Tensor) -> Tensor:
    """Mark for each face its k cheapest candidates, k being the sum of its best overlaps, at least 1."""
    most = min(_MOST, cost.shape[1])
    wanted = shared.topk(most, dim=1).values.sum(1).int().clamp(min=1)
    values, order = cost.topk(most, dim=1, largest=False)
    taken = (torch.arange(most) < wanted[:, None]) & values.isfinite()
    return torch.zeros_like(cost, dtype=torch.bool).scatter(1, order, taken)
