"""A face and its estimated attributes as frozen values, converted from the protobuf messages."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from mien.v1 import face_pb2

GenderValue = Literal["female", "male", "uncertain"]
EmotionLabel = Literal["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
MoodLabel = Literal["excited", "content", "tense", "gloomy", "neutral"]
AbstainedReason = Literal["face_too_small", "face_too_blurred"]

_GENDERS: dict[int, GenderValue] = {
    face_pb2.GENDER_VALUE_FEMALE: "female",
    face_pb2.GENDER_VALUE_MALE: "male",
    face_pb2.GENDER_VALUE_UNCERTAIN: "uncertain",
}
EMOTIONS: dict[str, EmotionLabel] = {label: label for label in get_args(EmotionLabel)}
"""The known labels."""

_MOODS: dict[int, MoodLabel] = {
    face_pb2.MOOD_LABEL_EXCITED: "excited",
    face_pb2.MOOD_LABEL_CONTENT: "content",
    face_pb2.MOOD_LABEL_TENSE: "tense",
    face_pb2.MOOD_LABEL_GLOOMY: "gloomy",
    face_pb2.MOOD_LABEL_NEUTRAL: "neutral",
}
_REASONS: dict[int, AbstainedReason] = {
    face_pb2.Quality.REASON_FACE_TOO_SMALL: "face_too_small",
    face_pb2.Quality.REASON_FACE_TOO_BLURRED: "face_too_blurred",
}
_WORDS: dict[AbstainedReason, str] = {"face_too_small": "too small", "face_too_blurred": "too blurred"}


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle: pixels of the upright image, or fractions of its width and height."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Point:
    """A point in pixels of the upright image."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Landmarks:
    """Five points; right and left are the person's own."""

    right_eye: Point
    left_eye: Point
    nose: Point
    right_mouth_corner: Point
    left_mouth_corner: Point


@dataclass(frozen=True, slots=True)
class Age:
    """Apparent age in years. The range contains the true age at the rate in the model's card."""

    years: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Gender:
    """Apparent gender in the image, not the person's identity."""

    value: GenderValue
    """The more probable gender; `uncertain` if its probability is below the model's `gender_uncertain_below`."""
    probability: float
    """Probability of the more probable gender, 0.5 to 1."""
    male_probability: float
    """Probability of male, 0 to 1; the probability of female is 1 minus it."""

    def __str__(self) -> str:
        return "gender uncertain" if self.value == "uncertain" else f"{self.value} {self.probability:.0%}"


@dataclass(frozen=True, slots=True)
class Emotion:
    """A class of facial expression and its probability, 0 to 1."""

    label: EmotionLabel
    probability: float


@dataclass(frozen=True, slots=True)
class Mood:
    """Valence and arousal, -1 to 1, and the name of the quadrant."""

    valence: float
    arousal: float
    label: MoodLabel


@dataclass(frozen=True, slots=True)
class Quality:
    """Size and sharpness of a face."""

    size_px: float
    """Height of the face's box, in pixels of the upright image."""
    sharpness: float
    """0 (flat) to 1 (the finest edges); brightness and contrast do not matter."""


@dataclass(frozen=True, slots=True)
class Face:
    """A face. Attributes are None (or empty) if their task was not requested, failed or abstained."""

    box: Box
    """In pixels."""
    ratio_box: Box
    """The box as fractions of the image."""
    landmarks: Landmarks | None
    detection_score: float | None
    age: Age | None
    gender: Gender | None
    emotions: tuple[Emotion, ...]
    """All labels, most probable first."""
    mood: Mood | None
    quality: Quality
    abstained: bool
    """Whether the face is below a quality limit, so that all tasks abstained."""
    abstained_reasons: tuple[AbstainedReason, ...]
    """The quality limits that it is below; empty for limits that this version does not know."""

    @property
    def abstention(self) -> str:
        """The reasons in words, such as `too small to tell`; empty if the tasks did not abstain."""
        if not self.abstained:
            return ""
        words = [_WORDS[reason] for reason in self.abstained_reasons] or ["too poor"]
        return f"{' and '.join(words)} to tell"

    @property
    def emotion(self) -> Emotion | None:
        """The most probable emotion."""
        return self.emotions[0] if self.emotions else None

    def __str__(self) -> str:
        parts = [f"({self.box.x:.0f}, {self.box.y:.0f}) {self.box.width:.0f}x{self.box.height:.0f}"]
        if self.age:
            parts.append(f"{self.age.years:.0f} years ({self.age.low:.0f}-{self.age.high:.0f})")
        if self.gender:
            parts.append(str(self.gender))
        if self.emotion:
            parts.append(f"{self.emotion.label} {self.emotion.probability:.0%}")
        if self.mood:
            parts.append(f"mood {self.mood.label}")
        if self.abstained:
            parts.append(self.abstention)
        return ", ".join(parts)


def read_face(face: face_pb2.Face) -> Face:
    """Convert a face; values that this version does not know are omitted."""
    reasons = face.quality.abstained_reasons
    return Face(
        box=_box(face.box),
        ratio_box=_box(face.ratio_box),
        landmarks=_landmarks(face.landmarks) if face.HasField("landmarks") else None,
        detection_score=face.detection_score if face.HasField("detection_score") else None,
        age=read_age(face.age) if face.HasField("age") else None,
        gender=read_gender(face.gender),
        emotions=read_emotions(face.emotions),
        mood=read_mood(face.mood),
        quality=Quality(face.quality.size_px, face.quality.sharpness),
        abstained=bool(reasons),
        abstained_reasons=tuple(_REASONS[reason] for reason in reasons if reason in _REASONS),
    )


def read_age(message: face_pb2.Age) -> Age:
    """Convert an age."""
    return Age(message.years, message.low, message.high)


def read_gender(message: face_pb2.Gender) -> Gender | None:
    """Convert a gender; None if it is absent or unknown to this version."""
    value = _GENDERS.get(message.value)
    return Gender(value, message.probability, message.male_probability) if value else None


def read_emotions(messages: Iterable[face_pb2.Emotion]) -> tuple[Emotion, ...]:
    """Convert emotions in their order; those unknown to this version are omitted."""
    return tuple(
        Emotion(EMOTIONS[message.label], message.probability) for message in messages if message.label in EMOTIONS
    )


def read_mood(message: face_pb2.Mood) -> Mood | None:
    """Convert a mood; None if it is absent or unknown to this version."""
    label = _MOODS.get(message.label)
    return Mood(message.valence, message.arousal, label) if label else None


def _box(box: face_pb2.Box) -> Box:
    return Box(box.x, box.y, box.width, box.height)


def _landmarks(message: face_pb2.Landmarks) -> Landmarks:
    def point(value: face_pb2.Point) -> Point:
        return Point(value.x, value.y)

    return Landmarks(
        right_eye=point(message.right_eye),
        left_eye=point(message.left_eye),
        nose=point(message.nose),
        right_mouth_corner=point(message.right_mouth_corner),
        left_mouth_corner=point(message.left_mouth_corner),
    )
