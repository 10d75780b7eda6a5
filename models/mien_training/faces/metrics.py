"""How good answers are: a model's arrays and the faces' labels in, figures out, ready for JSON.

Every function leaves out what the labels cannot tell, so that a zip without a column costs only that column's figures.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from mien_models.spec import EMOTIONS
from mien_training.faces.dataset import FaceData

BINS = (0, 3, 10, 20, 30, 40, 50, 60, 70)
"""The youngest age of each of FairFace's nine bins (Karkkainen & Joo, arXiv 1908.04913); the last is 70+."""

GROWN = 13
"""Years from which the figures named `age_13_up` count, since a small child's face tells little of its gender."""

WORST_FACES = 30
"""A group of fewer faces is not named the worst: its figure is mostly chance."""

_CALIBRATION_BINS = 15
_DIGITS = 4

Figures = dict[str, object]
_Floats = NDArray[np.float32]
_Bools = NDArray[np.bool_]
_Measure = Callable[[_Bools], dict[str, float]]
"""The figures of the chosen faces, with their number `n`; the last one ranks groups."""


def emotion(probabilities: _Floats, faces: FaceData) -> Figures:
    """Compare (N, 7) probabilities with FER2013's labels (`fer`) and with the FER+ majority (`ferplus`)."""
    figures: Figures = {}
    known = faces.emotion >= 0
    if known.any():
        told, truth = probabilities[known], faces.emotion[known]
        likelihood = told[np.arange(len(told)), truth].clip(min=1e-9)
        figures["fer"] = classification(told, truth) | {
            "nll": _short(-np.log(likelihood).mean()),
            "ece": calibration_error(told.max(1), told.argmax(1) == truth),
        }
    known = faces.majority >= 0
    if known.any():
        figures["ferplus"] = classification(probabilities[known], faces.majority[known])
    return figures


def classification(probabilities: _Floats, truth: NDArray[np.int64]) -> Figures:
    """Return accuracy, recall by class (None where a class has no face) and the confusion matrix.

    `truth` (N,) are columns of `probabilities` (N, 7); the matrix's rows are true classes, its columns answers.
    """
    confusion = np.zeros((len(EMOTIONS), len(EMOTIONS)), np.int64)
    np.add.at(confusion, (truth, probabilities.argmax(1)), 1)
    counts = confusion.sum(1)
    recall = [_short(right / count) if count else None for right, count in zip(np.diag(confusion), counts, strict=True)]
    return {
        "n": len(truth),
        "accuracy": _short(np.trace(confusion) / len(truth)),
        "recall": dict(zip(EMOTIONS, recall, strict=True)),
        "labels": list(EMOTIONS),
        "confusion": confusion.tolist(),
    }


def calibration_error(confidence: _Floats, right: _Bools) -> float:
    """Return the expected calibration error in [0, 1] of (N,) confidences: 15 equal bins (Guo et al., 1706.04599)."""
    place = np.minimum((confidence * _CALIBRATION_BINS).astype(np.int64), _CALIBRATION_BINS - 1)
    gaps = np.bincount(place, weights=right.astype(np.float64) - confidence, minlength=_CALIBRATION_BINS)
    return _short(np.abs(gaps).sum() / len(confidence))


def gender(p_male: _Floats, faces: FaceData) -> Figures:
    """Compare (N,) probabilities of male with the labels: overall, by gender, race group and age, from 13 years on."""
    known = faces.male >= 0
    if not known.any():
        return {}
    says_male = p_male >= 0.5
    right = says_male == (faces.male == 1)
    of_truth = np.where(faces.male == 1, p_male, 1 - p_male)[known].clip(min=1e-9)
    figures: Figures = {
        **_accuracy(right, known),
        "nll": _short(-np.log(of_truth).mean()),
        "ece": calibration_error(np.where(says_male, p_male, 1 - p_male)[known], right[known]),
        **_by_group(lambda chosen: _accuracy(right, chosen), known, faces),
    }
    races: dict[str, dict[str, float]] = figures.get("by_race", {})  # type: ignore[assignment]
    if races:
        worst = min(races, key=lambda name: races[name]["accuracy"])
        figures["worst_race"] = {"race": worst, **races[worst]}
    grown = known & _exact(faces) & (faces.age[:, 0] >= GROWN)
    if grown.any():
        figures[f"age_{GROWN}_up"] = _accuracy(right, grown)
    return figures


def age(years: _Floats, low: _Floats, high: _Floats, faces: FaceData) -> Figures:
    """Compare (N,) years and their ranges with exact ages (`exact`) and with age bins (`bins`)."""
    figures: Figures = {}
    exact = _exact(faces)
    if exact.any():
        truth = faces.age[:, 0]
        error = np.abs(years - truth)
        inside = (low <= truth) & (truth <= high)
        grown = exact & (truth >= GROWN)
        figures["exact"] = {
            **_mae(error, exact),
            **_by_group(lambda chosen: _mae(error, chosen), exact, faces, worst=max),
            "coverage": _short(inside[exact].mean()),
            "mean_width": _short((high - low)[exact].mean()),
            **({f"age_{GROWN}_up": _mae(error, grown)} if grown.any() else {}),
        }
    binned = faces.age[:, 0] < faces.age[:, 1]
    if binned.any():
        hit, near = (np.zeros(len(faces), bool) for _ in range(2))
        hit[binned], near[binned] = _hits(years[binned], faces.age[binned])

        def shares(chosen: _Bools) -> dict[str, float]:
            return {
                "n": int(chosen.sum()),
                "hit_within_one": _short(near[chosen].mean()),
                "hit": _short(hit[chosen].mean()),
            }

        figures["bins"] = {**shares(binned), **_by_group(shares, binned, faces)}
    return figures


def _by_group(
    measure: _Measure, known: _Bools, faces: FaceData, *, worst: Callable[..., tuple[str, str]] = min
) -> Figures:
    """Return the figures of each gender, race group and age that the faces' labels tell, and which group is worst."""
    groups = {
        kind: {name: measure(known & chosen) for name, chosen in masks.items() if (known & chosen).any()}
        for kind, masks in _groups(faces).items()
    }
    figures: Figures = {f"by_{kind}": named for kind, named in groups.items() if named}
    ranked = [
        (kind, name) for kind, named in groups.items() for name, told in named.items() if told["n"] >= WORST_FACES
    ]
    if ranked:
        kind, name = worst(ranked, key=lambda group: list(groups[group[0]][group[1]].values())[-1])
        figures["worst"] = {"by": kind, "group": name, **groups[kind][name]}
    return figures


def _groups(faces: FaceData) -> Mapping[str, Mapping[str, _Bools]]:
    """Return (N,) masks by kind of group and name: decades where ages are exact, else the data set's own bins."""
    races, ages = np.array(faces.race), np.array([_age_name(low, high) for low, high in faces.age.tolist()])
    youngest = {name: low for name, low in zip(ages.tolist(), faces.age[:, 0].tolist(), strict=True) if name}
    return {
        "gender": {name: faces.male == code for code, name in enumerate(("female", "male"))},
        "race": {name: races == name for name in sorted(set(faces.race) - {""})},
        "decade": {name: ages == name for name in sorted(youngest, key=lambda name: youngest[name])},
    }


def _age_name(low: int, high: int) -> str:
    if low < 0:
        return ""
    if low == high:
        return f"{low // 10 * 10}-{low // 10 * 10 + 9}"
    return f"{low}+" if low >= BINS[-1] else f"{low}-{high}"


def _hits(years: _Floats, bins: NDArray[np.int64]) -> tuple[_Bools, _Bools]:
    """Say for (N,) years and (N, 2) bins whether the rounded age lies inside, and whether at most one bin away."""
    rounded = np.rint(years).astype(np.int64)
    youngest, oldest = bins.T
    inside = (rounded >= youngest) & ((rounded <= oldest) | (youngest >= BINS[-1]))
    place, first, last = (np.searchsorted(BINS, ages, side="right") for ages in (rounded, youngest, oldest))
    return inside, inside | ((place >= first - 1) & (place <= last + 1))


def _exact(faces: FaceData) -> _Bools:
    known: _Bools = (faces.age[:, 0] >= 0) & (faces.age[:, 0] == faces.age[:, 1])
    return known


def _accuracy(right: _Bools, chosen: _Bools) -> dict[str, float]:
    return {"n": int(chosen.sum()), "accuracy": _short(right[chosen].mean())}


def _mae(error: _Floats, chosen: _Bools) -> dict[str, float]:
    return {"n": int(chosen.sum()), "mae": _short(error[chosen].mean())}


def _short(value: float | np.floating) -> float:
    return round(float(value), _DIGITS)
