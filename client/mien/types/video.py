"""The faces of a video: frames, followed faces, and the start and end of tracks, as frozen values."""

from dataclasses import dataclass, field
from typing import Literal, Self

from google.rpc import error_details_pb2, status_pb2

from mien.errors import MienError, from_status
from mien.images import ImageSource
from mien.pixels import Color
from mien.types.analysis import Span, TaskResult, read_span, read_task_result
from mien.types.face import (
    EMOTIONS,
    Age,
    Emotion,
    EmotionLabel,
    Face,
    Gender,
    Mood,
    read_age,
    read_emotions,
    read_face,
    read_gender,
    read_mood,
)
from mien.types.proto_json import as_dict
from mien.v1 import face_service_pb2, track_pb2

BoxSource = Literal["detected", "searched"]
TrackEventKind = Literal["track_started", "track_ended"]
TrackEndReason = Literal["lost", "cut", "stream_ended"]

_SOURCES: dict[int, BoxSource] = {
    track_pb2.BOX_SOURCE_DETECTED: "detected",
    track_pb2.BOX_SOURCE_SEARCHED: "searched",
}
_KINDS: dict[int, TrackEventKind] = {
    track_pb2.TRACK_EVENT_KIND_TRACK_STARTED: "track_started",
    track_pb2.TRACK_EVENT_KIND_TRACK_ENDED: "track_ended",
}
_REASONS: dict[int, TrackEndReason] = {
    track_pb2.TRACK_END_REASON_LOST: "lost",
    track_pb2.TRACK_END_REASON_CUT: "cut",
    track_pb2.TRACK_END_REASON_STREAM_ENDED: "stream_ended",
}


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a video, with its time."""

    image: ImageSource
    """The picture, in any form that `Client.analyze` takes."""
    timestamp_ms: float | None = None
    """Time in milliseconds on any clock, later than that of the frame before; None for one that the client gives."""
    id: int | None = None
    """Number that the result has; None for the number of the frame in the stream, from 0."""
    color: Color = "rgb"
    """Layout of an array, as in `Client.analyze`."""


@dataclass(frozen=True, slots=True)
class FrameAnswers:
    """The answers of one frame alone; None or empty if the task's model was not called for this face and frame."""

    age: Age | None
    gender: Gender | None
    emotions: tuple[Emotion, ...]
    mood: Mood | None


@dataclass(frozen=True, slots=True)
class TrackedFace:
    """A face of a frame, with its answers combined over the frames since it appeared."""

    track_id: int
    """Number of the track, from 1; a stream does not use a number again."""
    track_age_ms: float
    """Time since the track's first frame."""
    face: Face
    """The face; its answers are those of the track, its box is filtered."""
    emotion: EmotionLabel | None
    """The label of the emotion, which changes only if another is clearly ahead; `face.mood` never contradicts it."""
    raw: FrameAnswers
    stable: bool
    """Whether there was enough evidence for all tasks."""
    box_source: BoxSource | None
    """Whether the detector found the box, or a search around the predicted one."""


@dataclass(frozen=True, slots=True)
class TrackSummary:
    """What is known of a track when it ends."""

    start_ms: float
    duration_ms: float
    """From the first frame to the last one that shows the face."""
    frames: int
    age: Age | None
    gender: Gender | None
    emotion_shares: tuple[Emotion, ...]
    """Share of the time for which each emotion was the label, largest first; `probability` is the share."""
    moods: tuple[tuple[float, Mood], ...]
    """Times in milliseconds and moods, at most 200."""


@dataclass(frozen=True, slots=True)
class TrackEvent:
    """The start or end of a track."""

    kind: TrackEventKind | None
    track_id: int
    timestamp_ms: float
    end_reason: TrackEndReason | None
    summary: TrackSummary | None
    """The track as a whole; only when it ends."""


@dataclass(frozen=True, slots=True)
class FrameResult:
    """The analysis of one frame of a stream."""

    frame_id: int | None
    """None for the last result of a stream, which has only the events of its end."""
    timestamp_ms: float
    error: MienError | None
    """Why the frame could not be analyzed; the stream goes on."""
    faces: tuple[TrackedFace, ...]
    """In the order of their tracks."""
    faces_truncated: bool
    tasks: tuple[TaskResult, ...]
    """The tasks whose models were called for this frame."""
    dropped_frames: int
    """Frames that were dropped since the last result."""
    events: tuple[TrackEvent, ...]
    timing: Span
    detected: bool
    """Whether the detector ran on the whole frame."""
    cut: bool
    """Whether the frame is the first one of another scene."""
    restarted: bool
    """Whether the server was lost with all tracks: their numbers begin anew."""
    message: face_service_pb2.AnalyzeStreamResponse = field(repr=False, compare=False)
    """The reply itself."""

    @classmethod
    def from_message(cls, message: face_service_pb2.AnalyzeStreamResponse, *, restarted: bool = False) -> Self:
        """Read a reply."""
        status = message.status
        return cls(
            frame_id=message.frame_id if message.HasField("frame_id") else None,
            timestamp_ms=message.timestamp_ms,
            error=_error(status) if status.code else None,
            faces=tuple(_tracked(face) for face in message.faces),
            faces_truncated=message.faces_truncated,
            tasks=tuple(read_task_result(task) for task in message.tasks),
            dropped_frames=message.dropped_frames,
            events=tuple(_event(event) for event in message.events),
            timing=read_span(message.timing.total),
            detected=message.detected,
            cut=message.cut,
            restarted=restarted,
            message=message,
        )

    def to_dict(self) -> dict[str, object]:
        """Return the reply as proto3 JSON with the original field names; fields at their defaults are present."""
        return as_dict(self.message)


def _error(status: status_pb2.Status) -> MienError:
    info = error_details_pb2.ErrorInfo()
    reason = info.reason if any(detail.Unpack(info) for detail in status.details) else ""
    return from_status(status.code, status.message, reason)


def _tracked(message: track_pb2.TrackedFace) -> TrackedFace:
    raw = message.raw
    answers = FrameAnswers(
        age=read_age(raw.age) if raw.HasField("age") else None,
        gender=read_gender(raw.gender),
        emotions=read_emotions(raw.emotions),
        mood=read_mood(raw.mood),
    )
    return TrackedFace(
        track_id=message.track_id,
        track_age_ms=message.track_age_ms,
        face=read_face(message.face),
        emotion=EMOTIONS.get(message.emotion),
        raw=answers,
        stable=message.stable,
        box_source=_SOURCES.get(message.box_source),
    )


def _event(message: track_pb2.TrackEvent) -> TrackEvent:
    return TrackEvent(
        kind=_KINDS.get(message.kind),
        track_id=message.track_id,
        timestamp_ms=message.timestamp_ms,
        end_reason=_REASONS.get(message.end_reason),
        summary=_summary(message.summary) if message.HasField("summary") else None,
    )


def _summary(message: track_pb2.TrackSummary) -> TrackSummary:
    moods = ((point.timestamp_ms, read_mood(point.mood)) for point in message.moods)
    return TrackSummary(
        start_ms=message.start_ms,
        duration_ms=message.duration_ms,
        frames=message.frames,
        age=read_age(message.age) if message.HasField("age") else None,
        gender=read_gender(message.gender),
        emotion_shares=read_emotions(message.emotion_shares),
        moods=tuple((timestamp_ms, mood) for timestamp_ms, mood in moods if mood),
    )
