"""What is said of one face, as plain frozen values; made from the reply's protobuf message."""

from dataclasses import dataclass

from mien.v1 import face_pb2

_TOO_POOR = {"FACE_TOO_SMALL": "too small", "FACE_TOO_BLURRED": "too blurred"}


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
    """How old a face looks, in years, with a range that holds the truth at the rate that the model's card states."""

    years: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Gender:
    """How a face looks: `female` or `male`, and the probability (0.5 to 1) of it."""

    value: str
    probability: float


@dataclass(frozen=True, slots=True)
class Emotion:
    """A class of facial expression and its probability, 0 to 1."""

    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class Mood:
    """Valence and arousal, -1 to 1, and the name of the quadrant."""

    valence: float
    arousal: float
    label: str


@dataclass(frozen=True, slots=True)
class Quality:
    """How much the picture of a face shows."""

    size_px: float
    """Height of the face's box, in pixels of the upright image."""
    sharpness: float
    """0 (flat) to 1 (the finest edges); brightness and contrast do not matter."""


@dataclass(frozen=True, slots=True)
class Face:
    """One face; what was not asked for, failed or abstained is None (or empty)."""

    box: Box
    """In pixels."""
    ratio_box: Box
    """The same as fractions of the image."""
    landmarks: Landmarks | None
    detection_score: float | None
    age: Age | None
    gender: Gender | None
    emotions: tuple[Emotion, ...]
    """All labels, most probable first."""
    mood: Mood | None
    quality: Quality
    abstained: tuple[str, ...]
    """Why the tasks abstain, `FACE_TOO_SMALL` or `FACE_TOO_BLURRED`; empty where the face is good enough."""

    @property
    def abstention(self) -> str:
        """Why the tasks abstain, in words, such as `too small to say`; empty where they do not."""
        words = [_TOO_POOR.get(reason, "too poor") for reason in self.abstained]
        return f"{' and '.join(words)} to say" if words else ""

    @property
    def emotion(self) -> Emotion | None:
        """The most probable emotion."""
        return self.emotions[0] if self.emotions else None

    def __str__(self) -> str:
        said = [f"({self.box.x:.0f}, {self.box.y:.0f}) {self.box.width:.0f}x{self.box.height:.0f}"]
        if self.age:
            said.append(f"{self.age.years:.0f} years ({self.age.low:.0f}-{self.age.high:.0f})")
        if self.gender:
            said.append(f"{self.gender.value} {self.gender.probability:.0%}")
        if self.emotion:
            said.append(f"{self.emotion.label} {self.emotion.probability:.0%}")
        if self.mood:
            said.append(f"mood {self.mood.label}")
        if self.abstained:
            said.append(self.abstention)
        return ", ".join(said)


def read_face(face: face_pb2.Face) -> Face:
    """Read a face of a reply."""
    ratio = face.ratio_box
    return Face(
        box=Box(face.box.x, face.box.y, face.box.width, face.box.height),
        ratio_box=Box(ratio.left, ratio.top, ratio.width, ratio.height),
        landmarks=_landmarks(face.landmarks) if face.HasField("landmarks") else None,
        detection_score=face.detection_score if face.HasField("detection_score") else None,
        age=Age(face.age.years, face.age.low, face.age.high) if face.HasField("age") else None,
        gender=Gender(face.gender.value, face.gender.probability) if face.HasField("gender") else None,
        emotions=tuple(Emotion(emotion.label, emotion.probability) for emotion in face.emotions),
        mood=Mood(face.mood.valence, face.mood.arousal, face.mood.label) if face.HasField("mood") else None,
        quality=Quality(face.quality.size_px, face.quality.sharpness),
        abstained=tuple(_reason(reason) for reason in face.quality.abstained),
    )


def _reason(value: face_pb2.Quality.Reason.ValueType) -> str:
    """Return the reason's name, or its number where a newer server knows more reasons."""
    known = face_pb2.Quality.Reason
    return known.Name(value) if value in known.values() else str(value)


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
