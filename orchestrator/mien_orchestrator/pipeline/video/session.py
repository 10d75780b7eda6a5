"""Analyze one stream: its tracks, their combined predictions, and the reply for each frame."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from google.rpc import error_details_pb2, status_pb2

from mien.errors import MienError
from mien.v1 import face_pb2, track_pb2
from mien.v1 import face_service_pb2 as pb
from mien_models.images.raw import RawImage
from mien_models.mood import mood
from mien_models.spec import Task
from mien_orchestrator.pipeline.backend import Crops, Outcome, Prediction
from mien_orchestrator.pipeline.ensemble import Ensemble, source_of
from mien_orchestrator.pipeline.request_context import RequestContext
from mien_orchestrator.pipeline.response import (
    emotion_messages,
    face_messages,
    gender_message,
    mood_message,
    task_result,
    task_span,
)
from mien_orchestrator.pipeline.timing import critical_path
from mien_orchestrator.pipeline.video.answers import TrackAnswers
from mien_orchestrator.pipeline.video.config import VideoConfig
from mien_orchestrator.pipeline.video.frame_stage import FrameStage, SeenFrame, strong_score
from mien_orchestrator.pipeline.video.state import restore, save
from mien_orchestrator.pipeline.video.track import Track
from mien_orchestrator.pipeline.video.tracking import Tracker, TrackerOptions

_GOOD_SHARPNESS = 0.25
"""Sharpness from which a picture has full weight."""

_GOOD_HEIGHT = 80.0
"""Height of a face in pixels from which it has full weight: the largest crop of the default models."""

_INSIDE_POWER = 3
"""A face with a fifth of its box outside the picture has half the weight."""

_LEAST_WEIGHT = 0.1

_STATE_MS = 500.0
"""Time between two replies with the state."""


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of the models for a frame."""

    places: Sequence[int]
    """Indices of the faces in the frame."""
    crops: Crops
    """The crops of these faces, for each task."""


class VideoSession:
    """Analyzes the frames of one stream, one after the other."""

    def __init__(self, ensemble: Ensemble, config: VideoConfig, max_pixels: int) -> None:
        """Create the session of a stream; raises `InvalidRequestError` for an invalid state to resume."""
        self._ensemble = ensemble
        self._config = config
        strong = strong_score(ensemble.face_stage.detector)
        tracker = Tracker(TrackerOptions(max_faces=config.max_faces, strong_score=strong))
        self._stage = FrameStage(ensemble.face_stage, tracker, config.detection_interval, max_pixels)
        self._answers: dict[int, TrackAnswers] = {}
        self._sent_ms = -math.inf
        """Time of the frame with the last state."""
        if config.state:
            restore(config.state, tracker, self._answers, TrackAnswers(config.intervals_ms, config.half_life_ms))

    @property
    def now_ms(self) -> float | None:
        """Time of the last frame; None before the first one of a new stream."""
        return self._stage.tracker.now_ms

    async def analyze(self, frame: pb.Frame, dropped: int, context: RequestContext) -> pb.AnalyzeStreamResponse:
        """Analyze the next frame; an error of the frame becomes the status of its reply.

        Args:
            frame: The frame, later than the one before.
            dropped: Number of frames dropped since the one before.
            context: Context of this frame alone.

        """
        try:
            source = source_of(frame)
            seen, calls = await self._ensemble.see(lambda: self._see(source, frame.timestamp_ms, context), context)
            reply = await self._answered(frame, seen, calls, context)
        except MienError as error:
            reply = refusal(frame, error)
        reply.dropped_frames = dropped
        if self._config.send_state and (reply.events or frame.timestamp_ms - self._sent_ms >= _STATE_MS):
            self._sent_ms = frame.timestamp_ms
            reply.state = save(self._stage.tracker, self._answers)
        steps = context.spans.steps
        total = face_pb2.Span(name="total", elapsed_ms=context.spans.now_ms(), children=steps)
        reply.timing.CopyFrom(face_pb2.Timing(total=total, critical_path=critical_path(steps)))
        return reply

    def finish(self) -> pb.AnalyzeStreamResponse:
        """Return the last reply of the stream, which ends all tracks."""
        reason = track_pb2.TRACK_END_REASON_STREAM_ENDED
        now_ms = self._stage.tracker.now_ms or 0.0
        ended = sorted(self._stage.tracker.cut().ended, key=lambda track: track.id)
        return pb.AnalyzeStreamResponse(
            timestamp_ms=now_ms, status=status_pb2.Status(), events=[self._end(track, reason) for track in ended]
        )

    async def _answered(
        self, frame: pb.Frame, seen: SeenFrame, calls: "Sequence[_Call]", context: RequestContext
    ) -> pb.AnalyzeStreamResponse:
        now_ms = frame.timestamp_ms
        faces_of, outcomes = await self._predict(seen, calls, now_ms, context)
        raw = {track.id: track_pb2.FrameAnswers() for track in seen.tracks}
        for task, outcome in outcomes.items():
            if outcome.prediction:
                self._take(task, outcome.prediction, faces_of[task], seen, raw, now_ms)
        faces = face_messages(seen.faces, seen.quality, seen.image.width, seen.image.height)
        source = track_pb2.BOX_SOURCE_DETECTED if seen.detected else track_pb2.BOX_SOURCE_SEARCHED
        tracked = []
        for track, face in zip(seen.tracks, faces, strict=True):
            answers = self._answers[track.id]
            answers.note(now_ms)
            answers.fill(face)
            tracked.append(
                track_pb2.TrackedFace(
                    track_id=track.id,
                    track_age_ms=now_ms - track.first_ms,
                    face=face,
                    emotion=answers.emotion,
                    raw=raw[track.id],
                    stable=answers.stable,
                    box_source=source,
                )
            )
        return pb.AnalyzeStreamResponse(
            frame_id=frame.id,
            timestamp_ms=now_ms,
            status=status_pb2.Status(),
            faces=tracked,
            faces_truncated=seen.changes.truncated,
            image=seen.image,
            tasks=[
                task_result(task, outcomes[task], self._ensemble.model_infos[task])
                for task in self._config.tasks
                if task in outcomes
            ],
            events=self._events(seen),
            detected=seen.detected,
            cut=seen.cut,
        )

    def _see(
        self, source: bytes | RawImage, now_ms: float, context: RequestContext
    ) -> tuple[SeenFrame, Sequence[_Call]]:
        """Process a frame and crop the faces for the models that are due; runs on a thread."""

        def answers(track_id: int) -> TrackAnswers:
            if track_id not in self._answers:
                self._answers[track_id] = TrackAnswers(self._config.intervals_ms, self._config.half_life_ms)
            return self._answers[track_id]

        def due(track_id: int) -> bool:
            return any(answers(track_id).due(task, now_ms) for task in self._config.tasks)

        seen = self._stage.run(source, now_ms, due, context)
        groups: dict[tuple[int, ...], list[Task]] = {}
        for task in self._config.tasks:
            answerable = seen.quality.answerable.tolist()
            places = tuple(place for place in answerable if answers(seen.tracks[place].id).due(task, now_ms))
            if places:
                groups.setdefault(places, []).append(task)
        if not groups:
            return seen, ()
        specs = {task: self._ensemble.models[task].spec.crop for task in self._config.tasks}
        calls = []
        with context.spans.step("crop"):
            for places, tasks in groups.items():
                cut = {spec: seen.crops(spec, places) for spec in {specs[task] for task in tasks}}
                calls.append(_Call(places, {task: cut[specs[task]] for task in tasks}))
        return seen, calls

    async def _predict(
        self, seen: SeenFrame, calls: Sequence[_Call], now_ms: float, context: RequestContext
    ) -> tuple[Mapping[Task, Sequence[int]], Mapping[Task, Outcome]]:
        """Call the models that are due; return the faces and the outcome of each task."""
        if not calls:
            return {}, {}
        with context.spans.step("tasks") as span:
            parts = await asyncio.gather(*(self._ensemble.predict(call.crops, context) for call in calls))
            outcomes = {task: outcome for part in parts for task, outcome in part.items()}
            span.children.extend(task_span(task, outcome) for task, outcome in outcomes.items())
        faces_of = {task: call.places for call in calls for task in call.crops}
        for task, places in faces_of.items():
            for place in places:
                self._answers[seen.tracks[place].id].called_ms[task] = now_ms
        return faces_of, outcomes

    def _take(
        self,
        task: Task,
        prediction: Prediction,
        places: Sequence[int],
        seen: SeenFrame,
        raw: Mapping[int, track_pb2.FrameAnswers],
        now_ms: float,
    ) -> None:
        """Add a task's predictions to the tracks and to the raw predictions of the frame."""
        values = prediction.answers
        model = prediction.models.get(task) or self._ensemble.model_infos[task]
        for index, place in enumerate(places):
            track = seen.tracks[place]
            answers, message = self._answers[track.id], raw[track.id]
            weight = _weight(seen, place)
            match task:
                case "age":
                    years, low, high = (float(values[name][index]) for name in ("years", "low", "high"))
                    answers.add_age(years, low, high, weight)
                    message.age.CopyFrom(face_pb2.Age(years=years, low=low, high=high))
                case "gender":
                    p_male = float(values["p_male"][index])
                    answers.add_gender(p_male, weight, _threshold(model))
                    message.gender.CopyFrom(gender_message(p_male, model))
                case "emotion":
                    emotions = dict(zip(model.labels, values["probabilities"][index].tolist(), strict=True))
                    answers.add_emotions(emotions, now_ms, weight)
                    message.emotions.extend(emotion_messages(emotions))
                    message.mood.CopyFrom(mood_message(mood(emotions)))

    def _events(self, seen: SeenFrame) -> list[track_pb2.TrackEvent]:
        reason = track_pb2.TRACK_END_REASON_CUT if seen.cut else track_pb2.TRACK_END_REASON_LOST
        ended = [self._end(track, reason) for track in seen.changes.ended]
        started = [
            track_pb2.TrackEvent(
                kind=track_pb2.TRACK_EVENT_KIND_TRACK_STARTED, track_id=track.id, timestamp_ms=track.first_ms
            )
            for track in seen.changes.started
        ]
        return ended + started

    def _end(self, track: Track, reason: track_pb2.TrackEndReason.ValueType) -> track_pb2.TrackEvent:
        answers = self._answers.pop(track.id, None)
        summary = answers.summary() if answers else track_pb2.TrackSummary()
        summary.start_ms, summary.duration_ms = track.first_ms, track.seen_ms - track.first_ms
        summary.frames = track.frames
        return track_pb2.TrackEvent(
            kind=track_pb2.TRACK_EVENT_KIND_TRACK_ENDED,
            track_id=track.id,
            timestamp_ms=track.seen_ms,
            end_reason=reason,
            summary=summary,
        )


def refusal(frame: pb.Frame, error: MienError) -> pb.AnalyzeStreamResponse:
    """Return the reply for a frame that cannot be analyzed."""
    status = status_pb2.Status(code=error.code, message=error.message)
    if error.reason:
        status.details.add().Pack(error_details_pb2.ErrorInfo(reason=error.reason, domain="mien"))
    return pb.AnalyzeStreamResponse(frame_id=frame.id, timestamp_ms=frame.timestamp_ms, status=status)


def _threshold(model: face_pb2.ModelInfo) -> float | None:
    return model.gender_uncertain_below if model.HasField("gender_uncertain_below") else None


def _weight(seen: SeenFrame, place: int) -> float:
    """Return the weight of a face, 0.1 to 1, by its size, sharpness, and share inside the picture."""
    x, y, width, height = seen.faces.boxes[place].tolist()
    across = min(x + width, seen.image.width) - max(x, 0.0)
    down = min(y + height, seen.image.height) - max(y, 0.0)
    inside: float = max(0.0, across / width) * max(0.0, down / height)
    size = min(1.0, float(seen.quality.size_px[place]) / _GOOD_HEIGHT)
    sharp = min(1.0, float(seen.quality.sharpness[place]) / _GOOD_SHARPNESS)
    return max(_LEAST_WEIGHT, size * sharp * inside**_INSIDE_POWER)
