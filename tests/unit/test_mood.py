"""Tests of mood on simple cases, its bounds, and its document."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien_models.mood import CIRCUMPLEX, mood
from mien_models.spec import EMOTIONS
from tests.conftest import ROOT

DOCUMENT = (ROOT / "docs" / "mood.md").read_text()
EXAMPLES = re.findall(r"^\| ([a-z]+ \d+%.*?) \| (\S+) \| (\S+) \| (\w+) \|$", DOCUMENT, re.MULTILINE)

DISTRIBUTIONS = st.lists(st.floats(0.001, 1), min_size=7, max_size=7).map(
    lambda weights: {name: weight / sum(weights) for name, weight in zip(EMOTIONS, weights, strict=True)}
)


def test_the_table_holds_every_emotion() -> None:
    assert set(CIRCUMPLEX) == set(EMOTIONS)


@pytest.mark.parametrize(
    ("emotion", "label"),
    [("happy", "excited"), ("surprise", "excited"), ("angry", "tense"), ("fear", "tense"), ("disgust", "tense"),
     ("sad", "gloomy"), ("neutral", "neutral")],
)  # fmt: skip
def test_a_pure_emotion_has_its_own_quadrant(emotion: str, label: str) -> None:
    message = mood({emotion: 1.0})
    assert (message.valence, message.arousal) == CIRCUMPLEX[emotion]
    assert message.label == label


def test_a_faint_smile_is_less_pleasant_than_a_broad_one() -> None:
    faint, broad = mood({"happy": 0.3, "neutral": 0.7}), mood({"happy": 0.9, "neutral": 0.1})
    assert 0 < faint.valence < broad.valence


def test_the_document_has_the_table() -> None:
    rows = re.findall(r"^\| (\w+) \| (-?\d\.\d\d) \| (-?\d\.\d\d) \| .*? \|$", DOCUMENT, re.MULTILINE)
    assert {name: (float(valence), float(arousal)) for name, valence, arousal in rows} == CIRCUMPLEX


@pytest.mark.parametrize(("emotions", "valence", "arousal", "label"), EXAMPLES)
def test_the_documents_examples_are_right(emotions: str, valence: str, arousal: str, label: str) -> None:
    shares = [part.split() for part in emotions.split(", ")]
    message = mood({name: float(share.rstrip("%")) / 100 for name, share in shares})
    assert (message.valence, message.arousal) == pytest.approx((float(valence), float(arousal)), abs=0.0051)
    assert message.label == label


def test_the_document_has_examples() -> None:
    assert len(EXAMPLES) == 7


def test_opposite_emotions_cancel() -> None:
    assert mood({"happy": 0.43, "sad": 0.57}).label == "neutral"


def test_an_even_distribution_has_no_strong_mood() -> None:
    message = mood(dict.fromkeys(EMOTIONS, 1 / 7))
    assert abs(message.valence) < 0.2
    assert message.arousal == pytest.approx(0.35)


@given(DISTRIBUTIONS)
def test_the_label_never_contradicts_the_emotion(emotions: dict[str, float]) -> None:
    pleasant = {"excited": 1, "content": 1, "tense": -1, "gloomy": -1, "neutral": 0}[mood(emotions).label]
    top = max(emotions, key=lambda name: emotions[name])
    assert pleasant * CIRCUMPLEX[top][0] >= 0
    assert top != "neutral" or pleasant == 0


@given(DISTRIBUTIONS)
def test_no_mixture_is_pleasant_and_calm(emotions: dict[str, float]) -> None:
    assert mood(emotions).label != "content"


@given(DISTRIBUTIONS)
def test_mood_stays_in_bounds(emotions: dict[str, float]) -> None:
    message = mood(emotions)
    assert -1 <= message.valence <= 1
    assert -1 <= message.arousal <= 1
