"""Tests that a stream's state comes back as it was, also with values at the edge of rounding."""

import numpy as np
import pytest

from mien_models.spec import EMOTIONS
from mien_orchestrator.pipeline.video.answers import TrackAnswers
from mien_orchestrator.pipeline.video.config import HALF_LIFE_MS, INTERVALS_MS
from mien_orchestrator.pipeline.video.state import restore, save
from mien_orchestrator.pipeline.video.tracking import Tracker
from tests.unit.test_tracking import faces

TEMPLATE = TrackAnswers(INTERVALS_MS, HALF_LIFE_MS)


@pytest.mark.parametrize("spread", [0.0, 1e-13, 3.0])
def test_a_state_comes_back_as_it_was(spread: float) -> None:
    random, tracker = np.random.default_rng(0), Tracker()
    answers = {number: TrackAnswers(INTERVALS_MS, HALF_LIFE_MS) for number in (1, 2)}
    for number in range(50):
        tracker.advance(number * 40.0)
        tracker.detected(faces((100 + number, 100, 80, 100), (400, 100, 70, 90)))
        for track in answers.values():
            track.add_age(30.1 + spread * random.normal(), 25, 35, 0.37)
            track.add_gender(0.9, 0.37)
            track.add_emotions(dict.fromkeys(EMOTIONS, 1 / 7) | {"happy": 1.0}, number * 40.0, 1.0)
            track.note(number * 40.0)
    other, others = Tracker(), dict[int, TrackAnswers]()
    restore(save(tracker, answers), other, others, TEMPLATE)
    assert save(other, others) == save(tracker, answers)
    for both in (tracker, other):
        both.advance(2000.0)
        both.detected(faces((151, 100, 80, 100), (400, 100, 70, 90)))
    assert [track.id for track in other.visible] == [1, 2]
    np.testing.assert_allclose(other.visible[0].box, tracker.visible[0].box)
    assert others[1].summary().age == answers[1].summary().age
