"""What a photograph's analysis says, as plain frozen values; made from the reply's protobuf message."""

from dataclasses import dataclass, field
from typing import Self

from google.protobuf.json_format import MessageToDict
from google.rpc import code_pb2

from mien.v1 import face_pb2, face_service_pb2

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


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model of the server."""

    name: str
    version: str
    digest: str
    """`sha256:` and the SHA-256 of the weights file."""
    tasks: tuple[str, ...]
    labels: tuple[str, ...]
    summary: str
    is_default: bool
    parameters: int


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What there is to know of a model before relying on it; as text, its Markdown."""

    model: ModelInfo
    markdown: str
    """Figures by group, calibration, cost, data and terms, intended and forbidden uses."""

    @classmethod
    def from_message(cls, message: face_service_pb2.GetModelCardResponse) -> "ModelCard":
        """Read a reply."""
        return cls(model_info(message.model), message.markdown)

    def __str__(self) -> str:
        return self.markdown


@dataclass(frozen=True, slots=True)
class TaskResult:
    """How one task went."""

    task: str
    code: str
    """`OK`, or the name of the `google.rpc.Code`, such as `UNAVAILABLE`."""
    message: str
    """Why the task has no answers; empty where it has."""
    model: ModelInfo | None

    @property
    def ok(self) -> bool:
        """Whether the task was answered."""
        return self.code == "OK"


@dataclass(frozen=True, slots=True)
class Span:
    """One step of the request's way, in milliseconds from the request's arrival."""

    name: str
    start_ms: float
    elapsed_ms: float
    children: tuple["Span", ...]


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """The image as it was read; width and height are the upright image's, in pixels."""

    width: int
    height: int
    format: str
    exif_orientation: int
    orientation_applied: bool


@dataclass(frozen=True, slots=True)
class Analysis:
    """What one image's analysis says."""

    faces: tuple[Face, ...]
    """Largest first; empty where no face was found."""
    faces_truncated: bool
    image: ImageInfo
    tasks: tuple[TaskResult, ...]
    detector: str
    timing: Span
    critical_path: tuple[str, ...]
    """Names of the steps that the reply had to wait for."""
    message: face_service_pb2.AnalyzeResponse = field(repr=False, compare=False)
    """The reply itself."""

    @classmethod
    def from_message(cls, message: face_service_pb2.AnalyzeResponse) -> Self:
        """Read a reply."""
        image = message.image
        return cls(
            faces=tuple(_face(face) for face in message.faces),
            faces_truncated=message.faces_truncated,
            image=ImageInfo(image.width, image.height, image.format, image.exif_orientation, image.orientation_applied),
            tasks=tuple(_task_result(task) for task in message.tasks),
            detector=message.detector,
            timing=_span(message.timing.total),
            critical_path=tuple(message.timing.critical_path),
            message=message,
        )

    def to_dict(self) -> dict[str, object]:
        """Return the reply as proto3 JSON with the original field names; fields at their defaults are present."""
        return MessageToDict(self.message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)

    def __str__(self) -> str:
        count = len(self.faces)
        lines = [
            f"{count} face{'' if count == 1 else 's'} in {self.image.width}x{self.image.height} {self.image.format}"
        ]
        lines += [f"  {face}" for face in self.faces]
        lines += [f"  {task.task} failed: {task.code}: {task.message}" for task in self.tasks if not task.ok]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server is and takes."""

    version: str
    shape: str
    """`embedded`, `single` or `cluster`."""
    tasks: tuple[str, ...]
    formats: tuple[str, ...]
    detector: str
    max_image_bytes: int
    max_image_pixels: int
    max_faces: int
    min_face: float
    """Faces whose box is lower than this many pixels get no answers."""
    min_sharpness: float
    """Faces whose sharpness is lower get no answers."""

    @classmethod
    def from_message(cls, message: face_service_pb2.GetServerInfoResponse) -> Self:
        """Read a reply."""
        return cls(
            version=message.version,
            shape=message.shape,
            tasks=tuple(message.tasks),
            formats=tuple(message.formats),
            detector=message.detector,
            max_image_bytes=message.max_image_bytes,
            max_image_pixels=message.max_image_pixels,
            max_faces=message.max_faces,
            min_face=message.min_face,
            min_sharpness=message.min_sharpness,
        )


def model_info(message: face_pb2.ModelInfo) -> ModelInfo:
    """Read a model's description."""
    return ModelInfo(
        name=message.name,
        version=message.version,
        digest=message.digest,
        tasks=tuple(message.tasks),
        labels=tuple(message.labels),
        summary=message.summary,
        is_default=message.is_default,
        parameters=message.parameters,
    )


def _face(face: face_pb2.Face) -> Face:
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


def _task_result(message: face_pb2.TaskResult) -> TaskResult:
    return TaskResult(
        task=message.task,
        code=code_pb2.Code.Name(message.status.code),
        message=message.status.message,
        model=model_info(message.model) if message.HasField("model") else None,
    )


def _span(message: face_pb2.Span) -> Span:
    children = tuple(_span(child) for child in message.children)
    return Span(message.name, message.start_ms, message.elapsed_ms, children)
