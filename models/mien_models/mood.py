"""Derive mood from emotions: the position of a distribution over the seven classes on Russell's circumplex.

Valence and arousal of an emotion word come from Russell and Mehrabian, Evidence for a Three-Factor Theory of
Emotions, Journal of Research in Personality 11 (1977), table 1: mean ratings of terms, on scales from -1 to 1.
A face's mood is the mean of those points, weighted by the calibrated probabilities. `docs/mood.md` explains it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

MoodLabel = Literal["excited", "content", "tense", "gloomy", "neutral"]

CIRCUMPLEX: dict[str, tuple[float, float]] = {
    "angry": (-0.51, 0.59),
    "disgust": (-0.60, 0.35),
    "fear": (-0.64, 0.60),
    "happy": (0.81, 0.51),
    "sad": (-0.63, -0.27),
    "surprise": (0.40, 0.67),
    "neutral": (0.0, 0.0),
}
"""Valence and arousal of each emotion, -1 to 1. Rated terms: angry, disgusted, fearful, happy, sad, surprised;
neutral is the origin by definition."""

_NEUTRAL_RADIUS = 0.2
"""Distance from the origin below which the mood is neutral."""

_HELD = 0.06
"""Distance beyond a border for which a video keeps the label of the frame before."""


@dataclass(frozen=True, slots=True)
class Mood:
    """A point on the circumplex and the label of its quadrant."""

    valence: float
    """Unpleasant to pleasant, -1 to 1."""
    arousal: float
    """Calm to aroused, -1 to 1."""
    label: MoodLabel
    """`excited`, `content`, `tense`, `gloomy`, or `neutral` near the origin.

    `content` labels its quadrant, but no mixture of the seven emotions lies there.
    """


def mood(emotions: Mapping[str, float], *, emotion: str | None = None, former: MoodLabel | None = None) -> Mood:
    """Return the mood of one face from its emotion probabilities, which sum to 1.

    Args:
        emotions: The probability of each emotion.
        emotion: The emotion that the label must not contradict; None for the most probable one.
        former: The label of the frame before, in a video: it is kept while the point is close to its region.

    Raises:
        KeyError: An emotion is unknown.

    """
    valence = sum(p * CIRCUMPLEX[name][0] for name, p in emotions.items())
    arousal = sum(p * CIRCUMPLEX[name][1] for name, p in emotions.items())
    label = _label(valence, arousal, emotion or max(emotions, key=lambda name: emotions[name]), former)
    return Mood(valence, arousal, label)


def _label(valence: float, arousal: float, emotion: str, former: MoodLabel | None) -> MoodLabel:
    """Return the name of the point's quadrant; `neutral` if it contradicts the emotion."""
    inner = _NEUTRAL_RADIUS
    if former:
        inner += _HELD if former == "neutral" else -_HELD
    if (valence**2 + arousal**2) ** 0.5 < inner or valence * CIRCUMPLEX[emotion][0] <= 0:
        return "neutral"
    calm = _HELD if former in ("content", "gloomy") else -_HELD if former in ("excited", "tense") else 0.0
    if valence >= 0:
        return "excited" if arousal >= calm else "content"
    return "tense" if arousal >= calm else "gloomy"
