"""Tests of the losses and of calibration."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mien_models.networks.served import answer
from mien_models.spec import AgeDistributionHead, AgeValueHead, EmotionHead, GenderHead, Head
from mien_training.faces.calibration import COVERAGE, calibrate, gender_threshold
from mien_training.faces.losses import loss

from .conftest import FaceMaker

YEARS = torch.arange(101.0)


def _labels(count: int = 1, **known: list[object]) -> dict[str, torch.Tensor]:
    unknown = torch.full((count,), -1)
    labels = {"emotion": unknown, "male": unknown, "votes": torch.zeros(count, 7), "age": torch.full((count, 2), -1)}
    return labels | {name: torch.tensor(values) for name, values in known.items()}


def _classes(chosen: int, height: float, count: int) -> torch.Tensor:
    return height * F.one_hot(torch.tensor([chosen]), count).float()


def _bell(years: float) -> torch.Tensor:
    return -((YEARS - years) ** 2)[None] / 8


VOTES = [[0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 1.0]]
# (head, label, scores from wrong to right)
CASES: dict[str, tuple[Head, dict[str, list[object]], list[torch.Tensor]]] = {
    "emotion": (EmotionHead(count=7), {"emotion": [4]}, [_classes(4, h, 7) for h in (-2, 0, 2)]),
    "emotion votes": (
        EmotionHead(style="ferplus"),
        {"votes": VOTES},
        [_classes(4, h, 7) for h in (-2, 0, 1)],
    ),
    "gender logit": (GenderHead(count=1), {"male": [0]}, [torch.tensor([[v]]) for v in (2.0, 0.0, -2.0)]),
    "gender classes": (GenderHead(count=2, source="classes"), {"male": [1]}, [_classes(1, h, 2) for h in (-2, 0, 2)]),
    "gender value": (
        GenderHead(count=1, source="value"),
        {"male": [1]},
        [torch.tensor([[v]]) for v in (0.1, 0.5, 0.9)],
    ),
    "age exact": (AgeDistributionHead(), {"age": [[30, 30]]}, [_bell(years) for years in (60.0, 40.0, 31.0)]),
    "age bin": (AgeDistributionHead(), {"age": [[30, 39]]}, [_bell(years) for years in (60.0, 42.0, 35.0)]),
    "age open bin": (AgeDistributionHead(), {"age": [[70, 120]]}, [_bell(years) for years in (40.0, 66.0, 90.0)]),
    "age value": (AgeValueHead(), {"age": [[30, 30]]}, [torch.tensor([[v]]) for v in (60.0, 40.0, 31.0)]),
    "age value bin": (AgeValueHead(), {"age": [[30, 39]]}, [torch.tensor([[v]]) for v in (60.0, 42.0, 35.0)]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_loss_falls_as_the_scores_move_to_the_label(case: str) -> None:
    head, known, moves = CASES[case]
    losses = [loss(head, scores, _labels(**known)).item() for scores in moves]

    assert all(np.isfinite(losses))
    assert all(after < before for before, after in pairwise(losses))


@pytest.mark.parametrize("case", CASES)
def test_a_face_without_the_label_counts_nothing(case: str) -> None:
    head, known, moves = CASES[case]
    alone = moves[0].clone()
    both = torch.cat([moves[0], moves[0] + 3]).requires_grad_()
    labels = {name: torch.cat([values, _labels()[name].to(values.dtype)]) for name, values in _labels(**known).items()}
    joined = loss(head, both, labels)
    joined.backward()

    assert joined.item() == pytest.approx(loss(head, alone, _labels(**known)).item())
    assert both.grad is not None
    assert both.grad[0].abs().sum() > 0
    assert both.grad[1].abs().sum() == 0


@pytest.mark.parametrize("case", CASES)
def test_a_batch_without_any_label_costs_nothing(case: str) -> None:
    head, _, moves = CASES[case]

    assert loss(head, moves[0], _labels()).item() == 0


def test_an_overconfident_gender_head_is_calibrated(make_faces: FaceMaker) -> None:
    random = torch.Generator().manual_seed(0)
    logits = 1.5 * torch.randn(4000, 1, generator=random)
    male = (torch.rand(4000, generator=random) < torch.sigmoid(logits[:, 0])).long()
    head = GenderHead(count=1)
    fitted = calibrate(head, 2 * logits, make_faces(4000, male=male.numpy()))

    def nll(candidate: Head) -> float:
        return F.binary_cross_entropy(answer(candidate, 2 * logits)["p_male"], male.float()).item()

    assert isinstance(fitted, GenderHead)
    assert fitted.temperature == pytest.approx(2, rel=0.2)
    assert nll(fitted) < nll(head)


def test_the_gender_threshold_is_the_lowest_at_which_the_certain_faces_are_accurate() -> None:
    # 0.9: 19 of 20 right; 0.8: 20 of 20; 0.6: 4 of 8
    p_male = np.repeat(np.array([0.9, 0.2, 0.6], np.float32), (20, 20, 8))
    male = np.array([1] * 19 + [0] + [0] * 20 + [1] * 4 + [0] * 4)

    threshold = gender_threshold(p_male, male)
    assert threshold is not None
    assert 0.6 < threshold <= 0.605
    assert gender_threshold(p_male[:40], male[:40]) == 0.5
    assert gender_threshold(p_male[-8:], male[-8:]) is None


def test_a_gender_threshold_leaves_at_least_half_of_the_faces_certain() -> None:
    p_male = np.repeat(np.array([0.95, 0.7], np.float32), (49, 51))
    male = np.array([1] * 49 + [0] * 51)
    assert gender_threshold(p_male, male) is None
    assert gender_threshold(p_male[:97], male[:97]) is not None


def test_an_overconfident_emotion_head_is_calibrated(make_faces: FaceMaker) -> None:
    random = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(4000, 7, generator=random)
    truth = torch.multinomial(F.softmax(logits, 1), 1, generator=random)[:, 0]
    head = EmotionHead(count=7)
    fitted = calibrate(head, 2 * logits, make_faces(4000, emotion=truth.numpy(), majority=truth.numpy()))

    def nll(candidate: Head) -> float:
        return F.nll_loss(answer(candidate, 2 * logits)["probabilities"].log(), truth).item()

    assert isinstance(fitted, EmotionHead)
    assert fitted.temperature == pytest.approx(2, rel=0.2)
    assert nll(fitted) < nll(head)


def _distribution(message: torch.Tensor) -> torch.Tensor:
    return -((YEARS - message[:, None]) ** 2) / (2 * 4.0**2)


def _value(message: torch.Tensor) -> torch.Tensor:
    return message[:, None]


@pytest.mark.parametrize(("head", "scores_of"), [(AgeDistributionHead(), _distribution), (AgeValueHead(), _value)])
def test_age_ranges_have_the_nominal_coverage(
    make_faces: FaceMaker, head: Head, scores_of: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    random = torch.Generator().manual_seed(0)
    age = torch.randint(15, 80, (4000,), generator=random)
    scores = scores_of(age + 6 * torch.randn(4000, generator=random))
    message = answer(calibrate(head, scores, make_faces(4000, age=torch.stack([age, age], 1).numpy())), scores)
    coverage = ((message["low"] <= age) & (age <= message["high"])).float().mean().item()

    assert coverage == pytest.approx(COVERAGE, abs=0.03)
    assert (message["low"] <= message["years"]).all()
    assert (message["years"] <= message["high"]).all()
