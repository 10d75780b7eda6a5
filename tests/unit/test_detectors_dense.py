"""Tests of padding and decoding in the dense detectors."""

import numpy as np
import pytest

from mien_models.detectors.dense import cells, decode, pad


def test_cells_are_listed_level_by_level_and_row_by_row() -> None:
    places = cells(64, 96)
    assert len(places) == 8 * 12 + 4 * 6 + 2 * 3
    assert places[:2].tolist() == [[0, 0, 8], [1, 0, 8]]
    assert places[12].tolist() == [0, 1, 8]
    assert places[-1].tolist() == [2, 1, 32]


def test_predictions_are_decoded_to_boxes_and_points() -> None:
    places = cells(64, 64)
    cell = 8 * 8 + 5  # of stride 16, column 1, row 1
    shapes = np.zeros((len(places), 14), np.float32)
    shapes[cell, :4] = [0.5, 0.25, np.log(2), np.log(3)]
    shapes[cell, 4:] = np.arange(10) / 10
    scores = np.zeros(len(places), np.float32)
    scores[cell] = 0.75
    faces = decode(scores, shapes, (64, 64), min_score=0.5, max_overlap=0.4)
    assert faces.scores is not None
    assert faces.points is not None
    assert faces.scores.tolist() == [0.75]
    assert faces.boxes[0] == pytest.approx([24 - 16, 20 - 24, 32, 48], abs=1e-4)
    assert faces.points[0, 0] == pytest.approx([16, 17.6], abs=1e-4)
    assert faces.points[0, 4] == pytest.approx([28.8, 30.4], abs=1e-4)


def test_non_maximum_suppression_keeps_the_best_box() -> None:
    places = cells(64, 64)
    shapes = np.zeros((len(places), 14), np.float32)
    shapes[:, 2:4] = np.log(3)
    scores = np.zeros(len(places), np.float32)
    scores[[9, 10, 60]] = 0.6, 0.8, 0.7
    faces = decode(scores, shapes, (64, 64), min_score=0.5, max_overlap=0.3)
    assert faces.scores is not None
    assert faces.scores.tolist() == pytest.approx([0.8, 0.7])


def test_low_scores_give_no_face() -> None:
    places = cells(32, 32)
    faces = decode(
        np.zeros(len(places), np.float32),
        np.zeros((len(places), 14), np.float32),
        (32, 32),
        min_score=0.5,
        max_overlap=0.3,
    )
    assert faces.boxes.shape == (0, 4)
    assert faces.points is not None
    assert faces.points.shape == (0, 5, 2)


def test_an_image_is_padded_to_whole_cells() -> None:
    image = np.full((33, 64, 3), 9, np.uint8)
    padded = pad(image)
    assert padded.shape == (64, 64, 3)
    assert (padded[:33] == 9).all()
    assert not padded[33:].any()
    whole = np.zeros((32, 64, 3), np.uint8)
    assert pad(whole) is whole
