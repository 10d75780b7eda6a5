"""Compute the loss of each head from raw scores and labels; faces without the label do not count."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mien_models.spec import AgeDistributionHead, AgeValueHead, EmotionHead, GenderHead, Head

_SMOOTHING = 0.1
_GENDER_SMOOTHING = 0.05
_GENDER_WEIGHT = 2.0  # relative to the age loss, which is some ten times as large
_AGE_SPREAD = 2.0  # years; standard deviation of an exact age's label distribution (DLDL, Gao et al., arXiv 1611.01731)


def loss(head: Head, scores: Tensor, labels: dict[str, Tensor]) -> Tensor:
    """Return the mean loss of one head over the faces that have its label.

    `scores` (N, head.count); `labels`: emotion, male (N,), votes (N, 7), age (N, 2); -1 means unknown.
    """
    match head:
        case EmotionHead():
            return _votes(scores, labels["votes"]) if head.style == "ferplus" else _emotion(scores, labels["emotion"])
        case GenderHead():
            return _gender(head, scores, labels["male"])
        case AgeDistributionHead():
            return _age_distribution(scores, labels["age"])
        case AgeValueHead():
            return _age_value(scores[:, 0], labels["age"])


def _mean(values: Tensor, known: Tensor) -> Tensor:
    return (values * known).sum() / known.sum().clamp(min=1)


def _emotion(scores: Tensor, target: Tensor) -> Tensor:
    hard = F.cross_entropy(scores, target.clamp(min=0), reduction="none", label_smoothing=_SMOOTHING)
    return _mean(hard, target >= 0)


def _votes(scores: Tensor, votes: Tensor) -> Tensor:
    """Cross-entropy to the shares of FER+'s votes, if any."""
    shares = votes / votes.sum(1, keepdim=True).clamp(min=1)
    return _mean(-(shares * F.log_softmax(scores, 1)).sum(1), votes.sum(1) > 0)


def _gender(head: GenderHead, scores: Tensor, male: Tensor) -> Tensor:
    match head.source:
        case "logit":
            logit = scores[:, 0]
        case "classes":
            logit = scores[:, 1] - scores[:, 0]
        case "value":
            value = scores[:, 0].clamp(1e-3, 1 - 1e-3)
            logit = torch.log(value / (1 - value))
    target = male.clamp(min=0).float() * (1 - _GENDER_SMOOTHING) + _GENDER_SMOOTHING / 2
    return _GENDER_WEIGHT * _mean(F.binary_cross_entropy_with_logits(logit, target, reduction="none"), male >= 0)


def _age_distribution(scores: Tensor, age: Tensor) -> Tensor:
    """Exact ages: cross-entropy to a narrow Gaussian and the error of the mean; bins: probability inside the bin."""
    bins = torch.arange(scores.shape[1], dtype=torch.float32, device=scores.device)
    log_p = F.log_softmax(scores, 1)
    low, high = age[:, :1].float(), age[:, 1:].float()
    exact = (age[:, 0] >= 0) & (age[:, 0] == age[:, 1])
    ranged = (age[:, 0] >= 0) & ~exact
    bell = F.softmax(-((bins - low.clamp(max=scores.shape[1] - 1)) ** 2) / (2 * _AGE_SPREAD**2), 1)
    sharp = -(bell * log_p).sum(1)
    mean = (log_p.exp() * bins).sum(1)
    error = F.smooth_l1_loss(mean, low.squeeze(1), reduction="none", beta=3.0)
    inside = (bins >= low) & (bins <= high)
    outside = -torch.logsumexp(log_p.masked_fill(~inside, -30.0), 1)
    return _mean(sharp, exact) + 0.1 * _mean(error, exact) + _mean(outside, ranged)


def _age_value(years: Tensor, age: Tensor) -> Tensor:
    """Absolute error; for a bin, the distance to its nearest edge."""
    low, high = age[:, 0].float(), age[:, 1].float()
    distance = torch.relu(low - years) + torch.relu(years - high)
    return _mean(distance, age[:, 0] >= 0) / 10
