"""Tests of the tracker against scenes with known truth, and of its assignment against brute force."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from mien_models.faces import Faces
from mien_orchestrator.pipeline.video.assignment import assign, overlaps
from mien_orchestrator.pipeline.video.tracking import Tracker, TrackerOptions

STEP_MS = 40.0
POINTS = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])


def faces(*boxes: tuple[float, float, float, float], scores: tuple[float, ...] | None = None) -> Faces:
    array = np.array(boxes, np.float32).reshape(-1, 4)
    points = array[:, None, :2] + POINTS.astype(np.float32)[None] * array[:, None, 2:]
    given = np.ones(len(array), np.float32) if scores is None else np.array(scores, np.float32)
    return Faces(array, points, given)


def ids(tracker: Tracker) -> list[int]:
    return [track.id for track in tracker.visible]


@pytest.mark.parametrize("seed", range(40))
def test_the_assignment_is_the_best_one(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows, columns = (int(number) for number in random.integers(1, 6, 2))
    gain = random.random((rows, columns)).round(1)
    found = assign(gain)
    wide = gain if rows <= columns else gain.T
    best = max(
        sum(wide[row, column] for row, column in enumerate(chosen))
        for chosen in itertools.permutations(range(wide.shape[1]), wide.shape[0])
    )
    assert gain[found].sum() == pytest.approx(best)
    assert len(set(found[0])) == len(set(found[1])) == min(rows, columns)


def test_overlap_of_equal_shifted_and_distant_boxes() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 10, 10], [50, 50, 5, 5]], np.float64)
    np.testing.assert_allclose(overlaps(boxes[:1], boxes), [[1, 1 / 3, 0]])


def test_a_face_keeps_its_id_and_its_filtered_box_is_closer_to_the_truth() -> None:
    random, tracker = np.random.default_rng(0), Tracker()
    measured_errors, filtered_errors = [], []
    for number in range(200):
        true = np.array([100 + 2 * number, 80 + 20 * np.sin(number / 20), 80, 100])
        noisy = true + random.normal(0, 2.5, 4)
        tracker.advance(number * STEP_MS)
        tracker.detected(faces(tuple(noisy)))
        assert ids(tracker) == [1]
        if number > 10:
            measured_errors.append(np.abs(noisy - true).mean())
            filtered_errors.append(np.abs(tracker.visible[0].box - true).mean())
    assert np.mean(filtered_errors) < 0.75 * np.mean(measured_errors)


def test_two_faces_that_cross_keep_their_ids_although_one_is_hidden() -> None:
    tracker = Tracker()
    for number in range(100):
        left, right = 50 + 4.0 * number, 450 - 4.0 * number
        hidden = abs(left - right) < 50
        tracker.advance(number * STEP_MS)
        boxes = [(right, 104.0, 84.0, 105.0)] if hidden else [(left, 100.0, 80.0, 100.0), (right, 104.0, 84.0, 105.0)]
        tracker.detected(faces(*boxes))
    assert [(track.id, round(track.box[0])) for track in tracker.visible] == [(1, 54), (2, 446)]


@pytest.mark.parametrize(("hidden_ms", "expected"), [(1000, 1), (1800, 2)])
def test_a_face_may_be_hidden_for_a_second(hidden_ms: float, expected: int) -> None:
    tracker, ended = Tracker(), []
    for number in range(80):
        now = number * STEP_MS
        tracker.advance(now)
        covered = 800 <= now < 800 + hidden_ms
        changes = tracker.detected(faces() if covered else faces((100, 100, 80, 100)))
        ended += [track.id for track in changes.ended]
        if covered:
            assert ids(tracker) == []
    assert ids(tracker) == [expected]
    assert ended == ([1] if expected == 2 else [])


def test_weak_detections_keep_a_track_alive_but_start_none() -> None:
    tracker = Tracker(TrackerOptions(strong_score=0.7))
    tracker.advance(0)
    tracker.detected(faces((100, 100, 80, 100), (300, 100, 80, 100), scores=(0.9, 0.4)))
    assert ids(tracker) == [1]
    for number in range(1, 60):
        tracker.advance(number * STEP_MS)
        tracker.detected(faces((100, 100, 80, 100), (300, 100, 80, 100), scores=(0.4, 0.4)))
        assert ids(tracker) == [1]


def test_a_new_face_is_confirmed_by_a_second_detection_and_a_single_one_is_forgotten() -> None:
    tracker = Tracker()
    old, new = (100.0, 100.0, 80.0, 100.0), (300.0, 100.0, 80.0, 100.0)
    seen = []
    for number, boxes in enumerate([(old,), (old, new), (old,), (old, new), (old, new)]):
        tracker.advance(number * STEP_MS)
        tracker.detected(faces(*boxes))
        seen.append(ids(tracker))
    assert seen == [[1], [1], [1], [1], [1, 2]]


def test_a_cut_ends_all_tracks_and_ids_are_not_used_again() -> None:
    tracker = Tracker()
    tracker.advance(0)
    tracker.detected(faces((100, 100, 80, 100)))
    assert [track.id for track in tracker.cut().ended] == [1]
    tracker.advance(STEP_MS)
    tracker.detected(faces((100, 100, 80, 100)))
    assert ids(tracker) == [2]


def test_the_largest_faces_are_followed_if_there_are_too_many() -> None:
    tracker = Tracker(TrackerOptions(max_faces=2))
    tracker.advance(0)
    changes = tracker.detected(faces((0, 0, 20, 20), (100, 0, 60, 60), (200, 0, 40, 40)))
    assert changes.truncated
    assert [round(track.box[2]) for track in tracker.visible] == [60, 40]


def test_the_order_of_detections_does_not_matter() -> None:
    boxes = [(100.0 * place, 100.0, 80.0, 100.0) for place in range(5)]
    results: list[NDArray[np.float64]] = []
    for order in (range(5), [3, 0, 4, 2, 1]):
        tracker = Tracker()
        for number in range(10):
            tracker.advance(number * STEP_MS)
            tracker.detected(faces(*(boxes[place] for place in (range(5) if number == 0 else order))))
        results.append(np.stack([track.box for track in tracker.visible]))
    np.testing.assert_allclose(results[0], results[1])


def test_a_face_that_is_covered_from_the_side_is_found_again_where_it_went() -> None:
    """Its last boxes shrink and lag behind, and would spoil its velocity."""
    tracker = Tracker(TrackerOptions(strong_score=0.7))
    for number in range(60):
        x = 100.0 + 3 * number
        tracker.advance(number * STEP_MS)
        if number < 25 or number >= 58:
            tracker.detected(faces((x, 100, 80, 110)))
        elif number < 30:
            tracker.detected(faces((x - 4 * (number - 24), 100, 78, 110 - 5 * (number - 24)), scores=(0.5,)))
        else:
            tracker.detected(faces())
    assert ids(tracker) == [1]


def test_false_detections_with_low_scores_become_no_tracks() -> None:
    tracker = Tracker(TrackerOptions(strong_score=0.7))
    for number, score in enumerate([0.74, 0.78, 0.71, 0.75, 0.73, 0.72] * 5):
        tracker.advance(number * STEP_MS)
        tracker.detected(faces((100, 100, 80, 100), scores=(score,)))
    assert ids(tracker) == []


def test_a_face_with_middling_scores_becomes_a_track_after_more_detections() -> None:
    tracker, first = Tracker(TrackerOptions(strong_score=0.7)), None
    for number in range(10):
        tracker.advance(number * STEP_MS)
        tracker.detected(faces((100, 100, 80, 100), scores=(0.8,)))
        if ids(tracker) and first is None:
            first = number
    assert first == 3


def test_a_search_carries_tracks_between_detections() -> None:
    tracker = Tracker()
    for number in range(20):
        box = (100.0 + 2 * number, 100.0, 80.0, 100.0)
        tracker.advance(number * STEP_MS)
        if number % 5:
            tracker.searched({1: np.array(box)})
        else:
            tracker.detected(faces(box))
    (track,) = tracker.visible
    assert track.id == 1
    assert track.box[0] == pytest.approx(138, abs=2)
    tracker.advance(21 * STEP_MS)
    tracker.searched({})
    assert ids(tracker) == []
