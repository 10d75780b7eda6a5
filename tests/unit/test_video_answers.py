"""Tests of the answers over time: steadiness, hysteresis, lag, and mood that does not contradict the emotion."""

from itertools import pairwise

import numpy as np
import pytest

from mien.v1 import face_pb2
from mien_models.mood import CIRCUMPLEX
from mien_models.spec import EMOTIONS
from mien_orchestrator.pipeline.video.answers import TrackAnswers
from mien_orchestrator.pipeline.video.config import HALF_LIFE_MS, INTERVALS_MS


def answers() -> TrackAnswers:
    return TrackAnswers(INTERVALS_MS, HALF_LIFE_MS)


def emotions(**given: float) -> dict[str, float]:
    rest = (1 - sum(given.values())) / (len(EMOTIONS) - len(given))
    return {label: given.get(label, rest) for label in EMOTIONS}


def face(track: TrackAnswers) -> face_pb2.Face:
    message = face_pb2.Face()
    track.fill(message)
    return message


def test_age_is_the_mean_weighted_by_quality() -> None:
    track = answers()
    track.add_age(30, 25, 35, weight=1.0)
    track.add_age(60, 55, 65, weight=0.5)
    assert face(track).age.years == pytest.approx(40)
    assert face(track).age.low == pytest.approx(35)


def test_gender_does_not_flip_with_the_noise_of_frames_and_is_uncertain_while_they_disagree() -> None:
    random, track = np.random.default_rng(0), answers()
    values = []
    for _ in range(100):
        track.add_gender(float(np.clip(random.normal(0.35, 0.2), 0.05, 0.95)), 1.0)
        values.append(face(track).gender.value)
    assert values[0] == face_pb2.GENDER_VALUE_UNCERTAIN
    assert values[-1] == face_pb2.GENDER_VALUE_FEMALE
    assert sum(a != b for a, b in pairwise(values)) == 1


def test_gender_between_both_stays_uncertain() -> None:
    random, track = np.random.default_rng(1), answers()
    for _ in range(200):
        track.add_gender(float(np.clip(random.normal(0.5, 0.15), 0.05, 0.95)), 1.0)
        assert face(track).gender.value == face_pb2.GENDER_VALUE_UNCERTAIN


def test_gender_follows_clear_evidence() -> None:
    track = answers()
    track.add_gender(0.4, 0.2)
    for _ in range(10):
        track.add_gender(0.95, 1.0)
    gender = face(track).gender
    assert gender.value == face_pb2.GENDER_VALUE_MALE
    assert gender.probability > 0.8


def test_an_emotion_between_two_does_not_flicker() -> None:
    random, track = np.random.default_rng(0), answers()
    labels = []
    for number in range(100):
        happy = float(np.clip(0.45 + random.normal(0, 0.15), 0.05, 0.85))
        track.add_emotions(emotions(happy=happy, neutral=0.9 - happy), number * 120.0, 1.0)
        labels.append(track.emotion)
    assert sum(a != b for a, b in pairwise(labels)) <= 2


def test_the_label_follows_a_change_of_expression_within_half_a_second() -> None:
    track = answers()
    for number in range(20):
        track.add_emotions(emotions(neutral=0.9), number * 120.0, 1.0)
    changed = 20 * 120.0
    now = changed
    while track.emotion != "happy":
        now += 300.0 if track.is_steady else 100.0
        track.add_emotions(emotions(happy=0.9), now, 1.0)
    assert now - changed <= 500


@pytest.mark.parametrize("seed", range(20))
def test_the_mood_never_contradicts_the_emotion(seed: int) -> None:
    random, track = np.random.default_rng(seed), answers()
    for number in range(60):
        track.add_emotions(dict(zip(EMOTIONS, random.dirichlet([0.3] * 7).tolist(), strict=True)), number * 120.0, 1.0)
        assert track.mood
        valence = CIRCUMPLEX[track.emotion][0]
        wanted = (
            {"neutral"}
            if not valence
            else {"neutral", "excited", "content"}
            if valence > 0
            else {
                "neutral",
                "tense",
                "gloomy",
            }
        )
        assert track.mood.label in wanted


def test_the_model_is_called_more_often_while_the_expression_changes() -> None:
    track = answers()
    track.add_emotions(emotions(happy=0.9), 0, 1.0)
    track.called_ms["emotion"] = 0
    assert not track.due("emotion", 120)
    track.add_emotions(emotions(sad=0.9), 160, 1.0)
    track.called_ms["emotion"] = 160
    assert track.due("emotion", 260)


def test_models_are_called_often_for_a_new_track_and_rarely_later() -> None:
    track, calls = answers(), {"age": 0, "emotion": 0}
    for number in range(250):  # ten seconds
        now = number * 40.0
        for task in ("age", "emotion"):
            if track.due(task, now):
                track.called_ms[task] = now
                calls[task] += 1
                if task == "age":
                    track.add_age(30, 25, 35, 1.0)
                else:
                    track.add_emotions(emotions(happy=0.9), now, 1.0)
    assert 16 <= calls["age"] <= 18
    assert 31 <= calls["emotion"] <= 35


def test_the_summary_has_shares_that_sum_to_one_and_bounded_moods() -> None:
    track = answers()
    for number in range(1000):
        now = number * 40.0
        track.add_emotions(emotions(happy=0.9) if number < 250 else emotions(neutral=0.9), now, 1.0)
        track.note(now)
    summary = track.summary()
    shares = {share.label: share.probability for share in summary.emotion_shares}
    assert shares["happy"] == pytest.approx(0.25, abs=0.02)
    assert sum(shares.values()) == pytest.approx(1)
    assert 100 <= len(summary.moods) <= 200
    assert [point.timestamp_ms for point in summary.moods] == sorted(point.timestamp_ms for point in summary.moods)
