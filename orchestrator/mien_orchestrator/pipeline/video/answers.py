"""Combine the predictions of one track over its frames, so that they neither flicker nor lag.

Age and gender do not change within a track: each is the mean over the track, of years and of log-odds, weighted by the
quality of the picture. Emotions change: they pass a filter with a time constant. Labels have hysteresis: they change
only if another one is clearly ahead.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from mien.v1 import face_pb2, track_pb2
from mien_models.mood import Mood, MoodLabel, mood
from mien_models.spec import Task
from mien_orchestrator.pipeline.response import emotion_messages, mood_message

_WARM_UP = 8
"""Number of predictions of age and gender for which a new track uses `_WARM_UP_MS`."""

_WARM_UP_MS = 40.0
"""Interval between the first predictions of a new track."""

_MEMORY = 120.0
"""Maximum weight of the evidence. Above it, older predictions decay, since the lighting of a face may change."""

_LEAST_ODDS = 1e-4
"""Probabilities are clipped to this distance from 0 and 1."""

_CERTAIN_AFTER = 3
"""Minimum number of predictions before gender may be certain."""

_CERTAIN_FROM = 0.6
"""Probability from which gender is certain if the model has no threshold of its own."""

_ODDS_MARGIN = 0.3
"""Log-odds above the threshold from which gender becomes certain, and below it from which it is uncertain again."""

_ERRORS = 2.0
"""Standard errors by which the mean log-odds must exceed 0 for a certain gender."""

_AHEAD = 0.25
"""Margin of probability by which another emotion must lead to become the label."""

_LEAST_EMOTION_WEIGHT = 0.5
"""Minimum weight of a poor picture in the filter for emotions."""

_CHANGING = 1 / 3
"""Factor of the interval of the emotion model while the expression changes."""

_STABLE_EMOTIONS = 3
"""Number of predictions after which the emotion counts as stable."""

_MOST_MOODS = 200


@dataclass(slots=True)
class Evidence:
    """A weighted mean with its variance and weight."""

    count: int = 0
    weight: float = 0.0
    mean: float = 0.0
    squares: float = 0.0
    """Weighted sum of squared deviations."""

    def add(self, value: float, weight: float) -> None:
        """Add a value (West's incremental algorithm, CACM 22 (1979))."""
        if self.weight > _MEMORY:
            self.squares *= _MEMORY / self.weight
            self.weight = _MEMORY
        self.count += 1
        self.weight += weight
        apart = value - self.mean
        self.mean += apart * weight / self.weight
        self.squares = max(0.0, self.squares + weight * apart * (value - self.mean))

    @property
    def error(self) -> float:
        """Standard error of the mean, as if the values were independent."""
        return math.sqrt(self.squares / self.weight / self.count) if self.count else math.inf


@dataclass(slots=True)
class TrackAnswers:
    """The combined predictions of one track; times are in milliseconds, as the timestamps of the frames."""

    intervals_ms: Mapping[Task, float]
    """Time between two calls of each task's model."""
    half_life_ms: float
    called_ms: dict[Task, float] = field(default_factory=dict)
    """When each task's model was last called."""
    years: Evidence = field(default_factory=Evidence)
    low: Evidence = field(default_factory=Evidence)
    high: Evidence = field(default_factory=Evidence)
    male: Evidence = field(default_factory=Evidence)
    """Log-odds of male."""
    gender: face_pb2.GenderValue.ValueType = face_pb2.GENDER_VALUE_UNCERTAIN
    emotions: dict[str, float] = field(default_factory=dict)
    """Filtered probabilities."""
    emotion: str = ""
    """The label."""
    mood: Mood | None = None
    is_steady: bool = False
    """Whether the label is the most probable emotion of the last prediction."""
    emotion_count: int = 0
    emotion_ms: float = 0.0
    """Time of the last prediction."""
    shown_ms: dict[str, float] = field(default_factory=dict)
    """Time for which each emotion was the label."""
    moods: list[tuple[float, Mood]] = field(default_factory=list)
    _noted_ms: float | None = None

    def due(self, task: Task, now_ms: float) -> bool:
        """Return whether to call the task's model for this frame."""
        called, interval = self.called_ms.get(task), self.intervals_ms[task]
        if task == "emotion":
            interval *= 1.0 if self.is_steady else _CHANGING
        elif (self.years if task == "age" else self.male).count < _WARM_UP:
            interval = min(interval, _WARM_UP_MS)
        return called is None or now_ms - called >= interval - 1e-6

    def add_age(self, years: float, low: float, high: float, weight: float) -> None:
        """Add a prediction in years; `weight`, 0 to 1, is the quality of the picture."""
        for evidence, value in ((self.years, years), (self.low, low), (self.high, high)):
            evidence.add(value, weight)

    def add_gender(self, p_male: float, weight: float, certain_from: float | None = None) -> None:
        """Add the probability of male; `certain_from` is the model's threshold."""
        self.male.add(_log_odds(p_male), weight)
        mean = self.male.mean
        side = face_pb2.GENDER_VALUE_MALE if mean >= 0 else face_pb2.GENDER_VALUE_FEMALE
        threshold = _log_odds(_CERTAIN_FROM if certain_from is None else certain_from)
        threshold += -_ODDS_MARGIN if self.gender == side else _ODDS_MARGIN
        certain = self.male.count >= _CERTAIN_AFTER and abs(mean) >= max(threshold, _ERRORS * self.male.error)
        self.gender = side if certain else face_pb2.GENDER_VALUE_UNCERTAIN

    def add_emotions(self, probabilities: Mapping[str, float], now_ms: float, weight: float) -> None:
        """Add the probabilities of all emotions."""
        if not self.emotions or not self.half_life_ms:
            self.emotions = dict(probabilities)
        else:
            share = 1 - 0.5 ** (max(weight, _LEAST_EMOTION_WEIGHT) * (now_ms - self.emotion_ms) / self.half_life_ms)
            self.emotions = {
                label: before + share * (probabilities[label] - before) for label, before in self.emotions.items()
            }
        self.emotion_count += 1
        self.emotion_ms = now_ms
        best = max(self.emotions, key=lambda label: self.emotions[label])
        if not self.emotion or self.emotions[best] > self.emotions[self.emotion] + _AHEAD:
            self.emotion = best
        self.is_steady = max(probabilities, key=lambda label: probabilities[label]) == self.emotion
        self.mood = mood(self.emotions, emotion=self.emotion, former=self.mood.label if self.mood else None)

    def restore_emotions(self, emotions: dict[str, float], emotion: str, former: MoodLabel | None) -> None:
        """Restore filtered emotions, their label, and the label of the mood."""
        self.emotions, self.emotion = emotions, emotion
        self.mood = mood(emotions, emotion=emotion, former=former)

    def note(self, now_ms: float) -> None:
        """Record that a frame shows the face."""
        if self.mood is None:
            return
        elapsed = 0.0 if self._noted_ms is None else now_ms - self._noted_ms
        self.shown_ms[self.emotion] = self.shown_ms.get(self.emotion, 0.0) + elapsed
        self._noted_ms = now_ms
        self.moods.append((now_ms, self.mood))
        if len(self.moods) >= 2 * _MOST_MOODS:
            self.moods = self.moods[::2]

    @property
    def stable(self) -> bool:
        """Whether all tasks have enough evidence."""
        enough = {
            "age": self.years.count >= _WARM_UP,
            "gender": self.male.count >= _WARM_UP,
            "emotion": self.emotion_count >= _STABLE_EMOTIONS,
        }
        return all(enough[task] for task in self.intervals_ms)

    def fill(self, face: face_pb2.Face) -> None:
        """Set the predictions of a face message."""
        if self.years.count:
            face.age.CopyFrom(self._age())
        if self.male.count:
            face.gender.CopyFrom(self._gender())
        if self.emotions:
            face.emotions.extend(emotion_messages(self.emotions))
        if self.mood:
            face.mood.CopyFrom(mood_message(self.mood))

    def summary(self) -> track_pb2.TrackSummary:
        """Return the summary of the track, without its times."""
        summary = track_pb2.TrackSummary()
        if self.years.count:
            summary.age.CopyFrom(self._age())
        if self.male.count:
            summary.gender.CopyFrom(self._gender())
        whole = sum(self.shown_ms.values())
        shares = (
            {label: ms / whole for label, ms in self.shown_ms.items()} if whole else dict.fromkeys(self.shown_ms, 1.0)
        )
        summary.emotion_shares.extend(emotion_messages(shares))
        step = -(-len(self.moods) // _MOST_MOODS) or 1
        for timestamp_ms, point in self.moods[::step]:
            summary.moods.add(timestamp_ms=timestamp_ms, mood=mood_message(point))
        return summary

    def _age(self) -> face_pb2.Age:
        return face_pb2.Age(years=self.years.mean, low=self.low.mean, high=self.high.mean)

    def _gender(self) -> face_pb2.Gender:
        p_male = 1 / (1 + math.exp(-self.male.mean))
        return face_pb2.Gender(value=self.gender, probability=max(p_male, 1 - p_male), male_probability=p_male)


def _log_odds(probability: float) -> float:
    bounded = min(max(probability, _LEAST_ODDS), 1 - _LEAST_ODDS)
    return math.log(bounded / (1 - bounded))
