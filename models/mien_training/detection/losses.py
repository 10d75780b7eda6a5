"""Compute the detection loss from the predictions of all cells and the faces of the scenes."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mien_models.detectors.dense import cells
from mien_training.detection.assignment import Assignment, assign, assign_from_teacher, decode, overlap
from mien_training.detection.scenes import Scene

_BOX_WEIGHT = 2.0
_POINT_WEIGHT = 8.0
_POINTS_FULL = 64.0  # longer side of a face, in pixels, from which its landmarks have full weight
_EMPTY_WEIGHT, _EMPTY_FOCUS = 0.75, 2.0  # VarifocalNet's alpha and gamma
_POINT_BEND = 0.01
"""Landmark error, as a fraction of the face's size, from which the loss is linear.

A tilt of 10 degrees moves the eyes by 4 % of the face's size. At 0.05 such errors had almost no gradient, and the
network predicted the landmarks of upright faces.
"""


def detection_loss(
    predictions: Tensor, scenes: Sequence[Scene], teacher: Tensor | None = None
) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of (B, P, 15) predictions for a batch of scenes, and its components.

    Scores: varifocal loss (VarifocalNet, arXiv 2008.13367) with the square root of the IoU as target; the root keeps
    the targets of small faces, whose IoUs are low, from being low too. Boxes: EIoU (arXiv 2101.08158). Landmarks: the
    distance relative to the face's size. Cells in ignored boxes have no loss. `teacher` (B, P, 15) are another
    detector's predictions, with scores instead of logits: cells in which it detects a face are trained on that too.
    """
    size = scenes[0].image.shape[0]
    places = torch.from_numpy(cells(size, size))
    truth = _joined([scene.boxes for scene in scenes])
    marks = _joined([scene.points for scene in scenes])
    picture = torch.tensor([row for row, scene in enumerate(scenes) for _ in scene.boxes], dtype=torch.long)
    boxes, points = decode(predictions, places)
    parts = [assign(boxes, predictions[..., 0], places, truth, marks, picture)]
    if teacher is not None:
        parts.append(assign_from_teacher(teacher, places, truth, marks, picture))
    pairs = _both(parts)
    rows, faces = picture[pairs.faces], truth[pairs.faces]
    target = torch.zeros(predictions.shape[:2])
    target.view(-1).scatter_reduce_(0, rows * target.shape[1] + pairs.cells, pairs.scores, "amax")
    counted = ~_ignored(scenes, places)
    counted[rows, pairs.cells] = True
    total = pairs.scores.sum().clamp(min=1)
    score = _varifocal(predictions[..., 0], target, counted) / target.sum().clamp(min=1)
    box = (_eiou(boxes[rows, pairs.cells], faces) * pairs.scores).sum() / total
    point = (_distances(points[rows, pairs.cells], pairs.points, faces) * pairs.scores).sum() / total
    loss = score + _BOX_WEIGHT * box + _POINT_WEIGHT * point
    return loss, {"score": score.item(), "box": box.item(), "points": point.item()}


def _both(parts: Sequence[Assignment]) -> Assignment:
    return Assignment(
        torch.cat([part.faces for part in parts]),
        torch.cat([part.cells for part in parts]),
        torch.cat([part.scores for part in parts]),
        torch.cat([part.points for part in parts]),
    )


def _joined(parts: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.concatenate(parts))


def _ignored(scenes: Sequence[Scene], places: Tensor) -> Tensor:
    """Return a (B, P) mask of the cells that touch an ignored box of their image."""
    centres = (places[:, :2] + 0.5) * places[:, 2:]
    reach = places[:, 2:] / 2
    rows = []
    for scene in scenes:
        low = torch.from_numpy(scene.ignored[:, None, :2])
        high = low + torch.from_numpy(scene.ignored[:, None, 2:])
        rows.append(((centres > low - reach) & (centres < high + reach)).all(2).any(0))
    return torch.stack(rows)


def _varifocal(logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    found = logits.detach().sigmoid()
    weight = torch.where(target > 0, target, _EMPTY_WEIGHT * found**_EMPTY_FOCUS) * counted
    return F.binary_cross_entropy_with_logits(logits, target, weight, reduction="sum")


def _eiou(boxes: Tensor, truth: Tensor) -> Tensor:
    low = torch.minimum(boxes[:, :2], truth[:, :2])
    around = torch.maximum(boxes[:, :2] + boxes[:, 2:], truth[:, :2] + truth[:, 2:]) - low
    shift = (boxes[:, :2] + boxes[:, 2:] / 2 - truth[:, :2] - truth[:, 2:] / 2).square().sum(1)
    sides = ((boxes[:, 2:] - truth[:, 2:]).square() / around.square().clamp(min=1e-6)).sum(1)
    return 1 - overlap(boxes, truth) + shift / around.square().sum(1).clamp(min=1e-6) + sides


def _distances(points: Tensor, truth: Tensor, faces: Tensor) -> Tensor:
    """Return each face's mean smooth L1 distance over its known landmarks, relative to its size.

    Faces under `_POINTS_FULL` pixels are weighted down.
    """
    known = ~truth.isnan().any(2)
    error = (points - torch.nan_to_num(truth)) / faces[:, 2:].prod(1).sqrt().clamp(min=1)[:, None, None]
    smooth = F.smooth_l1_loss(error, torch.zeros_like(error), reduction="none", beta=_POINT_BEND).sum(2)
    weight = (faces[:, 2:].max(1).values / _POINTS_FULL).clamp(0.25, 1)
    return weight * (smooth * known).sum(1) / known.sum(1).clamp(min=1)
