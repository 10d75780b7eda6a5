"""Mood on plain cases, and its bounds on any distribution."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien_models.mood import CIRCUMPLEX, mood
from mien_models.spec import EMOTIONS


def test_the_table_holds_every_emotion() -> None:
    assert set(CIRCUMPLEX) == set(EMOTIONS)


@pytest.mark.parametrize(
    ("emotion", "label"),
    [("happy", "excited"), ("surprise", "excited"), ("angry", "tense"), ("fear", "tense"), ("disgust", "tense"),
     ("sad", "gloomy"), ("neutral", "neutral")],
)  # fmt: skip
def test_a_pure_emotion_has_its_own_quadrant(emotion: str, label: str) -> None:
    said = mood({emotion: 1.0})
    assert (said.valence, said.arousal) == CIRCUMPLEX[emotion]
    assert said.label == label


def test_a_faint_smile_is_less_pleasant_than_a_broad_one() -> None:
    faint, broad = mood({"happy": 0.3, "neutral": 0.7}), mood({"happy": 0.9, "neutral": 0.1})
    assert 0 < faint.valence < broad.valence


@given(st.lists(st.floats(0.001, 1), min_size=7, max_size=7))
def test_mood_stays_in_bounds(weights: list[float]) -> None:
    said = mood({name: weight / sum(weights) for name, weight in zip(EMOTIONS, weights, strict=True)})
    assert -1 <= said.valence <= 1
    assert -1 <= said.arousal <= 1
