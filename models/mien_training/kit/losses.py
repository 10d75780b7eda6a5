"""Losses of a kit: of a teacher against labels, of a student against its teachers' predictions."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mien_models.spec import EMOTIONS, AgeDistributionHead, EmotionHead, GenderHead, Head
from mien_training.faces.losses import loss
from mien_training.kit.package import KitError
from mien_training.kit.views import Labels, Mix

_GENDER_WEIGHT = 2.0  # as in `mien_training.faces.losses`
_SMOOTHING = 0.1
FOREIGN_OUTPUTS = len(EMOTIONS)
"""Columns of a teacher's head for labels of another style: the last ones."""


def label_loss(heads: Sequence[Head], scores: Tensor, labels: Labels, mix: Mix | None) -> Tensor:
    """Return the loss of all heads; a mixed face counts for both of its labels by their shares."""
    own = _unmixed(heads, scores, labels)
    if mix is None:
        return own
    others = {name: values[mix.order] for name, values in labels.items()}
    return mix.share * own + (1 - mix.share) * _unmixed(heads, scores, others)


def _unmixed(heads: Sequence[Head], scores: Tensor, labels: Labels) -> Tensor:
    total = torch.stack([loss(head, scores[:, head.first : head.first + head.count], labels) for head in heads]).sum()
    width = max(head.first + head.count for head in heads)
    if scores.shape[1] > width:
        foreign = labels["foreign"]
        known = foreign >= 0
        each = F.cross_entropy(scores[:, width:], foreign.clamp(min=0), reduction="none", label_smoothing=_SMOOTHING)
        total = total + (each * known).sum() / known.sum().clamp(min=1)
    return total


def answers(heads: Sequence[Head], scores: Tensor) -> list[Tensor]:
    """Return the probabilities of each head, (N, count); of gender, that of the high value."""
    return [_probabilities(head, scores[:, head.first : head.first + head.count]) for head in heads]


def _probabilities(head: Head, scores: Tensor) -> Tensor:
    match head:
        case EmotionHead() | AgeDistributionHead():
            return F.softmax(scores, 1)
        case GenderHead(source="logit"):
            return torch.sigmoid(scores)
    raise KitError(f"a kit has no teacher for a {type(head).__name__}")


def answer_loss(heads: Sequence[Head], scores: Tensor, taught: Sequence[Tensor]) -> Tensor:
    """Return the cross-entropy of the student's predictions to those of the teachers."""
    total = scores.new_zeros(())
    for head, target in zip(heads, taught, strict=True):
        columns = scores[:, head.first : head.first + head.count]
        if isinstance(head, GenderHead):
            total = total + _GENDER_WEIGHT * F.binary_cross_entropy_with_logits(columns, target)
        else:
            total = total - (target * F.log_softmax(columns, 1)).sum(1).mean()
    return total
