"""Tests of detection metrics."""

import math

import numpy as np
import pytest

from mien_models.faces import Faces
from mien_training.detection.metrics import (
    Match,
    average_precision,
    false_boxes,
    match,
    overlaps,
    recall,
    threshold,
)

NONE = np.zeros((0, 4), np.float32)


def faces(*rows: tuple[float, float, float, float, float]) -> Faces:
    """Faces from x, y, width, height, score."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Faces(table[:, :4], None, table[:, 4])


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_a_face_is_found_once_and_by_the_best_box() -> None:
    found = match(faces((0, 0, 10, 10, 0.6), (1, 0, 10, 10, 0.9)), boxes((0, 0, 10, 10)), NONE)
    assert found.scores.tolist() == pytest.approx([0.9, 0.6])
    assert found.hits.tolist() == [True, False]
    assert found.pairs.tolist() == [[1, 0]]


def test_ignored_regions_and_faces_of_other_sizes_count_neither_way() -> None:
    found = faces((0, 0, 10, 10, 0.9), (40, 40, 10, 10, 0.8), (60, 0, 50, 50, 0.7))
    truth = boxes((0, 0, 10, 10), (60, 0, 50, 50))
    assert match(found, truth, boxes((38, 38, 20, 20))).hits.tolist() == [True, True]
    large = match(found, truth, NONE, sizes=(24, math.inf))
    assert large.hits.tolist() == [True]
    assert large.faces == 1


def test_metrics_without_detections_and_without_faces() -> None:
    assert match(faces(), boxes((0, 0, 9, 9)), NONE).faces == 1
    assert match(faces((0, 0, 9, 9, 0.5)), NONE, NONE).hits.tolist() == [False]
    assert recall([match(faces(), boxes((0, 0, 9, 9)), NONE)]) == 0
    assert math.isnan(recall([match(faces(), NONE, NONE)]))
    assert math.isnan(average_precision([match(faces(), NONE, NONE)]))


def test_overlaps_of_all_pairs() -> None:
    assert overlaps(boxes((0, 0, 10, 10)), boxes((0, 0, 10, 10), (5, 0, 10, 10), (30, 0, 1, 1))) == pytest.approx(
        np.array([[1, 1 / 3, 0]])
    )


def row(scores: list[float], hits: list[bool], count: int) -> Match:
    return Match(np.array(scores, np.float32), np.array(hits), np.zeros((0, 2), np.intp), count)


def test_average_precision_is_that_of_a_worked_example() -> None:
    # Precision 1 up to recall 1/4, 2/3 up to 2/4, then nothing more is found.
    matched = [row([0.9, 0.7], [True, True], 3), row([0.8], [False], 1)]
    assert average_precision(matched) == pytest.approx((1 + 2 / 3) / 4)
    assert recall(matched) == 0.5
    assert recall(matched, 0.8) == 0.25
    assert false_boxes(matched, 0.85) == 0


def test_the_threshold_allows_the_given_number_of_false_positives() -> None:
    matched = [row([0.95, 0.703, 0.604, 0.402], [True, False, False, False], 2)]
    for allowed in range(4):
        chosen = threshold(matched, allowed)
        assert false_boxes(matched, chosen) <= allowed
        assert false_boxes(matched, chosen - 0.02) > allowed or allowed == 3
    assert threshold([row([0.999], [False], 1)], 0) == 0.99
