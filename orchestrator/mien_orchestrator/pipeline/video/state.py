"""Serialize the state of a stream, so that another process can resume it under the same track numbers.

Callers return it, so it is validated and its size is limited.
"""

from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mien.errors import InvalidRequestError
from mien.v1 import face_pb2
from mien_models.mood import Mood, MoodLabel
from mien_models.spec import EMOTIONS, Task
from mien_orchestrator.pipeline.video.answers import Evidence, TrackAnswers
from mien_orchestrator.pipeline.video.track import Track
from mien_orchestrator.pipeline.video.tracking import Tracker

_MOST_BYTES = 2**20

_MOST_MOODS = 50
"""Maximum number of moods per track."""

Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]
Positive = Annotated[float, Field(allow_inf_nan=False, gt=0, le=1e9)]
Weight = Annotated[float, Field(allow_inf_nan=False, ge=0, le=1e9)]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Share = Annotated[float, Field(ge=0, le=1.001)]
Pair = tuple[Number, Number]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Evidence(_Part):
    count: Count
    weight: Weight
    mean: Number
    squares: Weight

    def read(self) -> Evidence:
        return Evidence(self.count, self.weight if self.count else 0.0, self.mean, self.squares)


class _Track(_Part):
    id: Annotated[int, Field(ge=1, lt=2**53)]
    first_ms: Number
    seen_ms: Number
    centre_x: Pair
    centre_y: Pair
    width: tuple[Positive, Number]
    height: tuple[Positive, Number]
    variances: Annotated[list[tuple[Weight, Number, Weight]], Field(min_length=4, max_length=4)]
    """Per dimension: of the position, the covariance, of the velocity."""
    points: Annotated[list[Pair], Field(min_length=5, max_length=5)] | None
    score: Share
    hits: Count
    frames: Count
    visible: bool
    called_ms: dict[Task, Number]
    years: _Evidence
    low: _Evidence
    high: _Evidence
    male: _Evidence
    gender: Annotated[int, Field(ge=1, le=3)]
    emotions: dict[str, Share]
    emotion: str
    mood: MoodLabel | None
    emotion_count: Count
    emotion_ms: Number
    shown_ms: dict[str, Weight]
    moods: Annotated[list[tuple[Number, Number, Number, MoodLabel]], Field(max_length=_MOST_MOODS)]


class _State(_Part):
    next_id: Annotated[int, Field(ge=1, lt=2**53)]
    now_ms: Number
    tracks: Annotated[list[_Track], Field(max_length=1000)]


def save(tracker: Tracker, answers: dict[int, TrackAnswers]) -> bytes:
    """Return the state of a stream. It is validated when it is restored, so that saving is cheap."""
    confirmed = [track for track in tracker.tracks if track.id]
    tracks = [_save(track, answers[track.id]) for track in confirmed if track.id in answers]
    state = _State.model_construct(next_id=tracker.next_id, now_ms=tracker.now_ms or 0.0, tracks=tracks)
    return state.model_dump_json().encode()


def restore(data: bytes, tracker: Tracker, answers: dict[int, TrackAnswers], template: TrackAnswers) -> None:
    """Restore a state into a new stream with the options of `template`; raises `InvalidRequestError`."""
    try:
        if len(data) > _MOST_BYTES:
            raise ValueError("too long")
        state = _State.model_validate_json(data)
        if any(set(track.emotions) - set(EMOTIONS) for track in state.tracks):
            raise ValueError("an unknown emotion")
    except ValueError as error:  # ValidationError is one
        detail = f"{error.error_count()} values are invalid" if isinstance(error, ValidationError) else str(error)
        raise InvalidRequestError(
            f"the state is invalid for this version of Mien ({detail}); start a stream without a state",
            reason="STREAM_STATE_INVALID",
        ) from error
    kept = state.tracks[: tracker.options.max_faces]
    tracker.resume(state.next_id, state.now_ms, [_track(saved) for saved in kept])
    answers.update({saved.id: _answers(saved, template) for saved in kept})


def _evidence(evidence: Evidence) -> _Evidence:
    return _Evidence.model_construct(
        count=evidence.count, weight=evidence.weight, mean=evidence.mean, squares=evidence.squares
    )


def _save(track: Track, answers: TrackAnswers) -> _Track:
    pairs = [(row[0], row[1]) for row in track.state.tolist()]
    step = -(-len(answers.moods) // _MOST_MOODS) or 1
    return _Track.model_construct(
        id=track.id,
        first_ms=track.first_ms,
        seen_ms=track.seen_ms,
        centre_x=pairs[0],
        centre_y=pairs[1],
        width=pairs[2],
        height=pairs[3],
        variances=[(part[0][0], part[0][1], part[1][1]) for part in track.covariance.tolist()],
        points=None if track.points is None else [(point[0], point[1]) for point in track.points.tolist()],
        score=track.score,
        hits=track.hits,
        frames=track.frames,
        visible=track.visible,
        called_ms=answers.called_ms,
        years=_evidence(answers.years),
        low=_evidence(answers.low),
        high=_evidence(answers.high),
        male=_evidence(answers.male),
        gender=answers.gender,
        emotions=answers.emotions,
        emotion=answers.emotion,
        mood=answers.mood.label if answers.mood else None,
        emotion_count=answers.emotion_count,
        emotion_ms=answers.emotion_ms,
        shown_ms=answers.shown_ms,
        moods=[(at, mood.valence, mood.arousal, mood.label) for at, mood in answers.moods[::step]],
    )


def _track(saved: _Track) -> Track:
    covariance = [[[position, both], [both, velocity]] for position, both, velocity in saved.variances]
    return Track(
        id=saved.id,
        first_ms=saved.first_ms,
        seen_ms=saved.seen_ms,
        state=np.array([saved.centre_x, saved.centre_y, saved.width, saved.height], np.float64),
        covariance=np.array(covariance, np.float64),
        points=None if saved.points is None else np.array(saved.points, np.float64),
        score=saved.score,
        hits=saved.hits,
        frames=saved.frames,
        visible=saved.visible,
    )


def _answers(saved: _Track, template: TrackAnswers) -> TrackAnswers:
    answers = TrackAnswers(template.intervals_ms, template.half_life_ms, dict(saved.called_ms))
    answers.years, answers.low, answers.high = saved.years.read(), saved.low.read(), saved.high.read()
    answers.male, answers.gender = saved.male.read(), face_pb2.GenderValue.ValueType(saved.gender)
    answers.emotion_count, answers.emotion_ms = saved.emotion_count, saved.emotion_ms
    if len(saved.emotions) == len(EMOTIONS) and saved.emotion in EMOTIONS:
        answers.restore_emotions(dict(saved.emotions), saved.emotion, saved.mood)
    answers.shown_ms = {label: ms for label, ms in saved.shown_ms.items() if label in EMOTIONS}
    answers.moods = [(at, Mood(valence, arousal, label)) for at, valence, arousal, label in saved.moods]
    return answers
