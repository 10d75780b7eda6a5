"""What a detector is trained to do: predictions of all cells and the scenes' faces in, one loss out."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mien_models.detectors.dense import cells
from mien_training.detection.assignment import Assignment, assign, decode, overlap, taught
from mien_training.detection.scenes import Scene

_BOX_WEIGHT = 2.0
_POINT_WEIGHT = 1.0
_EMPTY_WEIGHT, _EMPTY_FOCUS = 0.75, 2.0  # VarifocalNet's alpha and gamma
_POINT_BEND = 0.05  # error of a point, as a share of the face's size, from which it counts linearly


def detection_loss(
    predictions: Tensor, scenes: Sequence[Scene], teacher: Tensor | None = None
) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of (B, P, 15) predictions for the batch's scenes, and its parts.

    Scores learn the square root of the predicted box's overlap with its face (a VarifocalNet target, arXiv 2008.13367;
    the root so that small faces, whose overlaps are low, are not all doubted), boxes learn EIoU (arXiv 2101.08158),
    points the distance in sizes of the face. Cells in ignored boxes learn nothing. `teacher` is what another detector
    predicts, (B, P, 15) with scores instead of logits: cells in which it sees a face learn it too.
    """
    size = scenes[0].image.shape[0]
    places = torch.from_numpy(cells(size, size))
    truth = _joined([scene.boxes for scene in scenes])
    marks = _joined([scene.points for scene in scenes])
    picture = torch.tensor([row for row, scene in enumerate(scenes) for _ in scene.boxes], dtype=torch.long)
    boxes, points = decode(predictions, places)
    parts = [assign(boxes, predictions[..., 0], places, truth, marks, picture)]
    if teacher is not None:
        parts.append(taught(teacher, places, truth, marks, picture))
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
    """Return (B, P) whether a cell touches an ignored box of its picture."""
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
    """Return each face's mean smooth distance of its known points, in shares of its size."""
    known = ~truth.isnan().any(2)
    error = (points - torch.nan_to_num(truth)) / faces[:, 2:].prod(1).sqrt().clamp(min=1)[:, None, None]
    smooth = F.smooth_l1_loss(error, torch.zeros_like(error), reduction="none", beta=_POINT_BEND).sum(2)
    return (smooth * known).sum(1) / known.sum(1).clamp(min=1)
