"""Tests of metrics on small cases, computed by hand."""

import math

import numpy as np
import pytest

from mien_training.faces import metrics

from .conftest import FaceMaker


def _floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def _shares(*best: tuple[int, float]) -> np.ndarray:
    """Return rows that give one class its share and the six others the rest, evenly."""
    rows = np.array([[(1 - share) / 6] * 7 for _, share in best], np.float32)
    for row, (place, share) in zip(rows, best, strict=True):
        row[place] = share
    return rows


def test_emotion_is_evaluated_on_both_label_sets(make_faces: FaceMaker) -> None:
    reported = _shares((3, 0.7), (3, 0.7), (6, 0.4), (0, 0.4))
    faces = make_faces(4, emotion=np.array([3, 4, 6, -1]), majority=np.array([3, 3, -1, 0]))
    figures = metrics.emotion(reported, faces)
    fer, ferplus = figures["fer"], figures["ferplus"]

    assert fer["n"] == 3
    assert fer["accuracy"] == pytest.approx(2 / 3, abs=1e-4)
    assert fer["recall"] == {
        "angry": None, "disgust": None, "fear": None, "happy": 1.0, "sad": 0.0, "surprise": None, "neutral": 1.0
    }  # fmt: skip
    assert fer["confusion"][4] == [0, 0, 0, 1, 0, 0, 0]
    assert fer["nll"] == pytest.approx(-(math.log(0.7) + math.log(0.05) + math.log(0.4)) / 3, abs=1e-4)
    assert fer["ece"] == pytest.approx((abs(1 - 2 * 0.7) + abs(1 - 0.4)) / 3, abs=1e-4)
    assert ferplus["n"] == 3
    assert ferplus["accuracy"] == 1
    assert sum(map(sum, ferplus["confusion"])) == 3


def test_calibration_error_is_the_gap_of_confidence_and_accuracy() -> None:
    right = np.array([True, True, True, False])

    assert metrics.calibration_error(_floats(0.75, 0.75, 0.75, 0.75), right) == 0
    assert metrics.calibration_error(_floats(0.95, 0.95, 0.95, 0.95), right) == pytest.approx(0.2)
    assert metrics.calibration_error(_floats(1, 1), np.array([True, True])) == 0


def test_gender_is_evaluated_by_gender_race_and_age(make_faces: FaceMaker) -> None:
    faces = make_faces(
        6,
        male=np.array([1, 1, 0, 0, 0, -1]),
        race=("A", "A", "A", "B", "", "C"),
        age=np.array([[40, 40], [20, 29], [3, 3], [13, 13], [-1, -1], [50, 50]]),
    )
    figures = metrics.gender(_floats(0.9, 0.4, 0.2, 0.8, 0.1, 0.9), faces)

    assert figures["n"] == 5
    assert figures["accuracy"] == 0.6
    assert figures["by_gender"] == {"female": {"n": 3, "accuracy": 0.6667}, "male": {"n": 2, "accuracy": 0.5}}
    assert figures["by_race"] == {"A": {"n": 3, "accuracy": 0.6667}, "B": {"n": 1, "accuracy": 0.0}}
    assert figures["worst_race"] == {"race": "B", "n": 1, "accuracy": 0.0}
    assert figures["age_13_up"] == {"n": 2, "accuracy": 0.5}
    # 15 bins: 0.9, 0.9 right, 0.8 right, 0.8 wrong, 0.6 wrong
    assert figures["ece"] == pytest.approx((abs(2 - 1.8) + abs(1 - 1.6) + abs(0 - 0.6)) / 5, abs=1e-4)


def test_uncertain_genders_are_counted_by_group_and_the_others_evaluated(make_faces: FaceMaker) -> None:
    faces = make_faces(6, male=np.array([1, 1, 0, 0, 1, -1]), race=("A", "A", "A", "B", "B", "B"))
    p_male = _floats(0.9, 0.3, 0.4, 0.55, 0.5, 0.5)
    figures = metrics.gender(p_male, faces, uncertain_below=0.7)

    assert figures["accuracy"] == 0.6
    assert figures["certain"] == {
        "n": 5,
        "uncertain": 0.6,
        "accuracy": 0.5,
        "by_gender": {
            "female": {"n": 2, "uncertain": 1.0, "accuracy": None},
            "male": {"n": 3, "uncertain": 0.3333, "accuracy": 0.5},
        },
        "by_race": {
            "A": {"n": 3, "uncertain": 0.3333, "accuracy": 0.5},
            "B": {"n": 2, "uncertain": 1.0, "accuracy": None},
        },
    }
    assert "certain" not in metrics.gender(p_male, faces)


def test_exact_ages_give_errors_by_decade_and_coverage(make_faces: FaceMaker) -> None:
    years = _floats(4, 25, 31, 90, 50)
    faces = make_faces(5, age=np.array([[2, 2], [20, 20], [30, 30], [101, 101], [-1, -1]]))
    exact = metrics.age(years, years - 3, years + 7, faces)["exact"]

    assert exact["n"] == 4
    assert exact["mae"] == pytest.approx((2 + 5 + 1 + 11) / 4)
    assert exact["by_decade"] == {
        "0-9": {"n": 1, "mae": 2.0},
        "20-29": {"n": 1, "mae": 5.0},
        "30-39": {"n": 1, "mae": 1.0},
        "100-109": {"n": 1, "mae": 11.0},
    }
    assert exact["coverage"] == 0.5
    assert exact["mean_width"] == 10
    assert exact["age_13_up"] == {"n": 3, "mae": pytest.approx(17 / 3, abs=1e-4)}


def test_age_bins_count_hits_and_neighbours_of_the_rounded_age(make_faces: FaceMaker) -> None:
    cases = [
        (29.4, (20, 29), True, True),
        (29.6, (20, 29), False, True),
        (39.6, (20, 29), False, False),
        (2.6, (0, 2), False, True),
        (9.6, (0, 2), False, False),
        (95.0, (70, 90), True, True),
        (61.0, (70, 120), False, True),
        (59.4, (70, 120), False, False),
        (10.0, (30, 39), False, False),
        (10.0, (20, 29), False, True),
    ]
    years = _floats(*(case[0] for case in cases))
    figures = metrics.age(years, years, years, make_faces(len(cases), age=np.array([case[1] for case in cases])))

    assert list(figures) == ["bins"]
    assert figures["bins"]["n"] == len(cases)
    assert figures["bins"]["hit"] == sum(case[2] for case in cases) / len(cases)
    assert figures["bins"]["hit_within_one"] == sum(case[3] for case in cases) / len(cases)
    assert list(figures["bins"]["by_decade"]) == ["0-2", "20-29", "30-39", "70+"]


def test_the_worst_group_is_the_worst_of_those_with_enough_faces(make_faces: FaceMaker) -> None:
    count = 2 * metrics.WORST_FACES + 5
    race = ("A",) * metrics.WORST_FACES + ("B",) * metrics.WORST_FACES + ("C",) * 5
    faces = make_faces(count, male=np.ones(count, int), age=np.full((count, 2), 30), race=race)
    p_male = np.full(count, 0.9, np.float32)
    p_male[metrics.WORST_FACES : metrics.WORST_FACES + 3] = 0.2
    p_male[-2:] = 0.1
    years = np.full(count, 30, np.float32)
    years[:2] = 60

    worst = metrics.gender(p_male, faces)["worst"]
    assert worst == {"by": "race", "group": "B", "n": metrics.WORST_FACES, "accuracy": 0.9}
    assert metrics.age(years, years, years, faces)["exact"]["worst"]["group"] == "A"


def test_faces_without_labels_give_no_figures(make_faces: FaceMaker) -> None:
    faces, some = make_faces(2), _floats(0.5, 0.5)

    assert metrics.emotion(_shares((0, 0.5), (1, 0.5)), faces) == {}
    assert metrics.gender(some, faces) == {}
    assert metrics.age(some, some, some, faces) == {}
