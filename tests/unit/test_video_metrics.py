"""Tests of the benchmark's metrics on small scenes whose values are computed by hand."""

import numpy as np
import pytest

from video_metrics import Truth, flips, identity, jain, scatter

LEFT, RIGHT = np.array([0.0, 0, 10, 10]), np.array([100.0, 0, 10, 10])


def test_perfect_tracks() -> None:
    truth = Truth([{1: LEFT, 2: RIGHT}] * 4, [{}] * 4)
    found = identity(truth, [{7: LEFT, 9: RIGHT}] * 4)
    assert (found.idf1, found.switches, found.tracks) == (1.0, 0, 2)


def test_tracks_that_change_places_are_two_switches_and_half_of_idf1() -> None:
    truth = Truth([{1: LEFT, 2: RIGHT}] * 4, [{}] * 4)
    found = identity(truth, [{7: LEFT, 9: RIGHT}] * 2 + [{7: RIGHT, 9: LEFT}] * 2)
    assert (found.idf1, found.switches) == (0.5, 2)


def test_a_track_that_breaks_and_false_boxes() -> None:
    truth = Truth([{1: LEFT}] * 6, [{}] * 6)
    found = identity(truth, [{1: LEFT}] * 4 + [{2: LEFT, 3: RIGHT}] * 2)
    assert found.idf1 == pytest.approx(2 * 4 / (6 + 8))
    assert (found.switches, found.tracks) == (1, 2)


def test_a_covered_face_counts_neither_if_found_nor_if_not() -> None:
    truth = Truth([{1: LEFT}, {}, {}], [{}, {1: LEFT}, {1: LEFT}])
    assert identity(truth, [{1: LEFT}, {1: LEFT}, {}]).idf1 == 1.0


def test_flips_scatter_and_fairness() -> None:
    assert flips(["a", "b", None, "b", "a", "a"]) == pytest.approx(50)
    assert scatter([20.0, None, 30.0]) == 5
    assert scatter([20.0]) is None
    assert jain([5, 5, 5]) == pytest.approx(1)
    assert jain([1, 0, 0, 0]) == pytest.approx(0.25)
