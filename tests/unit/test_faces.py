"""Tests of the value that holds an image's faces."""

import numpy as np

from mien_models.faces import Faces


def test_largest_first_sorts_and_truncates_all_arrays() -> None:
    boxes = np.array([[0, 0, 2, 2], [1, 1, 10, 10], [2, 2, 5, 5]], np.float32)
    points = np.arange(30, dtype=np.float32).reshape(3, 5, 2)
    scores = np.array([0.7, 0.8, 0.9], np.float32)

    faces = Faces(boxes, points, scores).largest_first(2)

    assert len(faces) == 2
    assert np.array_equal(faces.boxes, boxes[[1, 2]])
    assert faces.points is not None
    assert np.array_equal(faces.points, points[[1, 2]])
    assert faces.scores is not None
    assert np.array_equal(faces.scores, scores[[1, 2]])


def test_faces_of_equal_size_keep_their_order() -> None:
    boxes = np.array([[i, 0, 4, 4] for i in range(20)], np.float32)

    assert np.array_equal(Faces(boxes).largest_first(20).boxes, boxes)


def test_faces_are_taken_by_place_and_scaled_with_their_image() -> None:
    boxes = np.array([[0, 0, 10, 10], [4, 6, 20, 30]], np.float32)
    points = np.arange(20, dtype=np.float32).reshape(2, 5, 2)
    half = Faces(boxes, points, np.array([0.5, 0.9], np.float32)).take(np.array([1])).scaled(0.5)
    assert half.boxes.tolist() == [[2, 3, 10, 15]]
    assert half.points is not None
    assert np.array_equal(half.points[0], points[1] / 2)
    assert half.boxes.dtype == half.points.dtype == np.float32
    assert half.scores is not None
    assert half.scores.tolist() == [np.float32(0.9)]


def test_faces_are_moved_and_scaled_by_axis_with_their_points() -> None:
    boxes = np.array([[1, 2, 10, 20]], np.float32)
    points = np.array([[[3, 4]] * 5], np.float32)
    faces = Faces(boxes, points).moved(5, 6).scaled(np.array([2, 3], np.float32))
    assert faces.boxes.tolist() == [[12, 24, 20, 60]]
    assert faces.points is not None
    assert faces.points[0, 0].tolist() == [16, 30]
    assert faces.boxes.dtype == faces.points.dtype == np.float32


def test_largest_first_of_no_faces_is_no_faces() -> None:
    faces = Faces(np.zeros((0, 4), np.float32)).largest_first(5)

    assert len(faces) == 0
    assert faces.points is None
    assert faces.scores is None
