"""Compute metrics from a model's predictions and the faces' labels, ready for JSON.

Every function omits metrics whose labels are missing.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mien_models.spec import EMOTIONS, EmotionHead, ModelSpec
from mien_training.faces.dataset import FaceData

BINS = (0, 3, 10, 20, 30, 40, 50, 60, 70)
"""Lowest age of each of FairFace's nine bins (Karkkainen & Joo, arXiv 1908.04913); the last is 70+."""

GROWN = 13
"""Lowest age, in years, of the `age_13_up` metrics, since small children's faces show little of their gender."""

WORST_FACES = 30
"""Smallest group that can be reported as the worst; metrics of smaller groups are mostly noise."""

_CALIBRATION_BINS = 15
_DIGITS = 4

Metrics = dict[str, object]
_Floats = NDArray[np.float32]
_Bools = NDArray[np.bool_]
_Measure = Callable[[_Bools], dict[str, float]]
"""Metrics of the selected faces, with their number `n`; groups are ranked by the last one."""


def emotion(probabilities: _Floats, faces: FaceData) -> Metrics:
    """Compare (N, 7) probabilities with FER2013's labels (`fer`) and with the FER+ majority (`ferplus`)."""
    metrics: Metrics = {}
    for name, labels in (("fer", faces.emotion), ("ferplus", faces.majority)):
        known = labels >= 0
        if not known.any():
            continue
        predicted, truth = probabilities[known], labels[known]
        likelihood = predicted[np.arange(len(predicted)), truth].clip(min=1e-9)
        metrics[name] = classification(predicted, truth) | {
            "nll": _short(-np.log(likelihood).mean()),
            "ece": calibration_error(predicted.max(1), predicted.argmax(1) == truth),
        }
    return metrics


def labels_of(spec: ModelSpec) -> Literal["fer", "ferplus"]:
    """Return the labels in whose style a model answers, by their name in the metrics of `emotion`."""
    head = spec.heads["emotion"]
    return "ferplus" if isinstance(head, EmotionHead) and head.style == "ferplus" else "fer"


def classification(probabilities: _Floats, truth: NDArray[np.int64]) -> Metrics:
    """Return accuracy, recall per class (None for a class without faces) and the confusion matrix.

    `truth` (N,) are columns of `probabilities` (N, 7); the matrix's rows are true classes, its columns predictions.
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


def gender(p_male: _Floats, faces: FaceData, uncertain_below: float | None = None) -> Metrics:
    """Compare (N,) probabilities of male with the labels: overall, by gender, race group and age, from 13 years on.

    The more probable gender counts. With `uncertain_below`, the probability below which a gender is reported as
    uncertain, `certain` has the share of uncertain faces and the accuracy of the others, overall and by group.
    """
    known = faces.male >= 0
    if not known.any():
        return {}
    says_male = p_male >= 0.5
    right = says_male == (faces.male == 1)
    of_truth = np.where(faces.male == 1, p_male, 1 - p_male)[known].clip(min=1e-9)
    metrics: Metrics = {
        **_accuracy(right, known),
        "nll": _short(-np.log(of_truth).mean()),
        "ece": calibration_error(np.where(says_male, p_male, 1 - p_male)[known], right[known]),
        **_by_group(lambda chosen: _accuracy(right, chosen), known, faces),
    }
    races: dict[str, dict[str, float]] = metrics.get("by_race", {})  # type: ignore[assignment]
    if races:
        worst = min(races, key=lambda name: races[name]["accuracy"])
        metrics["worst_race"] = {"race": worst, **races[worst]}
    grown = known & _exact(faces) & (faces.age[:, 0] >= GROWN)
    if grown.any():
        metrics[f"age_{GROWN}_up"] = _accuracy(right, grown)
    if uncertain_below is not None:
        metrics["certain"] = _certain(right, np.where(says_male, p_male, 1 - p_male) >= uncertain_below, known, faces)
    return metrics


def _certain(right: _Bools, certain: _Bools, known: _Bools, faces: FaceData) -> Metrics:
    """Return the share of uncertain faces and the accuracy of the others (None if all are uncertain), by group too."""

    def measure(chosen: _Bools) -> dict[str, float | None]:
        kept = right[chosen & certain]
        return {
            "n": int(chosen.sum()),
            "uncertain": _short(1 - certain[chosen].mean()),
            "accuracy": _short(kept.mean()) if len(kept) else None,
        }

    groups = {
        f"by_{kind}": {name: measure(known & chosen) for name, chosen in masks.items() if (known & chosen).any()}
        for kind, masks in _groups(faces).items()
    }
    return {**measure(known), **{kind: named for kind, named in groups.items() if named}}


def age(years: _Floats, low: _Floats, high: _Floats, faces: FaceData) -> Metrics:
    """Compare (N,) years and their ranges with exact ages (`exact`) and with age bins (`bins`)."""
    metrics: Metrics = {}
    exact = _exact(faces)
    if exact.any():
        truth = faces.age[:, 0]
        error = np.abs(years - truth)
        inside = (low <= truth) & (truth <= high)
        grown = exact & (truth >= GROWN)
        metrics["exact"] = {
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

        metrics["bins"] = {**shares(binned), **_by_group(shares, binned, faces)}
    return metrics


def _by_group(
    measure: _Measure, known: _Bools, faces: FaceData, *, worst: Callable[..., tuple[str, str]] = min
) -> Metrics:
    """Return the metrics of each labelled gender, race group and age group, and the worst group."""
    groups = {
        kind: {name: measure(known & chosen) for name, chosen in masks.items() if (known & chosen).any()}
        for kind, masks in _groups(faces).items()
    }
    metrics: Metrics = {f"by_{kind}": named for kind, named in groups.items() if named}
    ranked = [
        (kind, name)
        for kind, named in groups.items()
        for name, predicted in named.items()
        if predicted["n"] >= WORST_FACES
    ]
    if ranked:
        kind, name = worst(ranked, key=lambda group: list(groups[group[0]][group[1]].values())[-1])
        metrics["worst"] = {"by": kind, "group": name, **groups[kind][name]}
    return metrics


def _groups(faces: FaceData) -> Mapping[str, Mapping[str, _Bools]]:
    """Return (N,) masks by kind and name of group: decades for exact ages, otherwise the data set's bins."""
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
    """Return, for (N,) years and (N, 2) bins, whether the rounded age is inside, and whether at most one bin away."""
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
