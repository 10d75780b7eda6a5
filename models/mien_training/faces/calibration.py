"""Calibrate models on the validation split: temperatures and age ranges."""

from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mien_models.networks.served import answer
from mien_models.spec import AgeDistributionHead, AgeValueHead, EmotionHead, GenderHead, Head
from mien_training.faces.dataset import FaceData

COVERAGE = 0.8
"""Fraction of faces whose age lies within the range."""

CERTAIN_ACCURACY = 0.955
"""Accuracy on `val` of the genders that are not reported as uncertain: half a point above the 95 % that other faces
should have, for what INT8 and a threshold chosen on `val` lose."""

_MOST_UNCERTAIN = 0.5
"""Largest share of uncertain faces; a model that needs more always returns the more probable gender."""

_THRESHOLDS = [round(0.5 + step * 0.005, 3) for step in range(100)]

_TEMPERATURES = np.geomspace(0.4, 3.0, 61).tolist()

_Tempered = TypeVar("_Tempered", EmotionHead, GenderHead, AgeDistributionHead)


def calibrate(head: Head, scores: Tensor, faces: FaceData) -> Head:
    """Return the head, calibrated on a validation set's raw scores (N, head.count).

    Every face must carry the head's label: an emotion, a gender or an exact age. For answers in the style of FER+
    those count on whose emotion most annotators agree.
    """
    match head:
        case EmotionHead():
            labels = torch.from_numpy(faces.majority if head.style == "ferplus" else faces.emotion)
            labelled, emotion = scores[labels >= 0], labels[labels >= 0]
            return _best_temperature(head, lambda h: _emotion_loss(h, labelled, emotion))
        case GenderHead():
            male = torch.from_numpy(faces.male)
            tempered = _best_temperature(head, lambda h: _gender_loss(h, scores, male))
            p_male = answer(tempered, scores)["p_male"].numpy()
            return tempered.model_copy(update={"uncertain_below": gender_threshold(p_male, faces.male)})
        case AgeDistributionHead():
            return _age_distribution(head, scores, faces)
        case AgeValueHead():
            return _age_value(head, scores, faces)


def _best_temperature(head: _Tempered, loss: Callable[[_Tempered], float]) -> _Tempered:
    tried = [head.model_copy(update={"temperature": round(value, 4)}) for value in _TEMPERATURES]
    return min(tried, key=loss)


def _gender_loss(head: GenderHead, scores: Tensor, male: Tensor) -> float:
    return F.binary_cross_entropy(answer(head, scores)["p_male"], male.float()).item()


def gender_threshold(p_male: NDArray[np.float32], male: NDArray[np.int64]) -> float | None:
    """Return the probability below which a gender is reported as uncertain.

    Args:
        p_male: (N,) calibrated probabilities of male.
        male: (N,) labels: 1 for male, 0 for female.

    Returns:
        The lowest of the thresholds 0.5, 0.505, ... at which `CERTAIN_ACCURACY` of the other faces are right; None if
        more than half of the faces would be uncertain.

    """
    probability = np.maximum(p_male, 1 - p_male)
    right = (p_male >= 0.5) == (male == 1)
    for threshold in _THRESHOLDS:
        certain = probability >= threshold
        if certain.mean() < 1 - _MOST_UNCERTAIN:
            break
        if right[certain].mean() >= CERTAIN_ACCURACY:
            return threshold
    return None


def _emotion_loss(head: EmotionHead, scores: Tensor, emotion: Tensor) -> float:
    return F.nll_loss(answer(head, scores)["probabilities"].clamp(min=1e-9).log(), emotion).item()


def _age_distribution(head: AgeDistributionHead, scores: Tensor, faces: FaceData) -> AgeDistributionHead:
    """Choose the temperature at which the range contains the exact ages at the nominal rate."""
    age = torch.from_numpy(faces.age[:, 0]).float()

    def gap(candidate: AgeDistributionHead) -> float:
        predicted = answer(candidate, scores)
        inside = (age >= predicted["low"]) & (age <= predicted["high"])
        return abs(inside.float().mean().item() - COVERAGE)

    return _best_temperature(head, gap)


def _age_value(head: AgeValueHead, scores: Tensor, faces: FaceData) -> AgeValueHead:
    """Fit a quantile of the error as a linear function of the estimate, then widen it to the nominal rate."""
    years = scores[:, 0].clamp(min=0).numpy()
    error = np.abs(years - faces.age[:, 0])
    edges = np.quantile(years, np.linspace(0, 1, 9))
    groups = [(years >= low) & (years <= high) for low, high in pairwise(edges)]
    slope, margin = np.polyfit([years[g].mean() for g in groups], [np.quantile(error[g], COVERAGE) for g in groups], 1)
    widen = float(np.quantile(error - (margin + slope * years), COVERAGE))
    return head.model_copy(update={"margin": round(float(margin) + widen, 2), "slope": round(float(slope), 4)})
