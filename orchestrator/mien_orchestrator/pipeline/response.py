"""Merge what was seen and what the tasks said into the reply."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from google.rpc import code_pb2, status_pb2
from numpy.typing import NDArray

from mien.v1 import face_pb2
from mien.v1 import face_service_pb2 as pb
from mien_models.faces import Faces
from mien_models.mood import mood
from mien_models.quality import Quality
from mien_models.spec import Task
from mien_orchestrator.pipeline.backend import Prediction
from mien_orchestrator.pipeline.face_stage import Seen
from mien_orchestrator.pipeline.timing import Stopwatch, critical_path

Answers = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one task went: its prediction, or a `google.rpc.Code` and why."""

    task: Task
    code: int
    message: str = ""
    prediction: Prediction | None = None
    """One answer for each answerable face; None where the task failed, and where there was no such face."""
    span: face_pb2.Span | None = None


def merge(
    seen: Seen,
    outcomes: Sequence[Outcome],
    models: Mapping[Task, face_pb2.ModelInfo],
    detector: str,
    watch: Stopwatch,
    steps: list[face_pb2.Span],
) -> pb.AnalyzeResponse:
    """Build the reply; the timing tree ends with it. `models` are those that were meant to answer."""
    with watch.step("merge", steps):
        faces = _faces(seen.faces, seen.quality, seen.image.width, seen.image.height)
        for outcome in outcomes:
            if outcome.prediction:
                labels = _model(outcome, models[outcome.task]).labels
                for index, place in enumerate(seen.quality.answerable):
                    _FILL[outcome.task](faces[place], outcome.prediction.answers, index, labels)
        reply = pb.AnalyzeResponse(
            faces=faces,
            faces_truncated=seen.truncated,
            image=seen.image,
            tasks=[_task_result(outcome, models[outcome.task]) for outcome in outcomes],
            detector=detector,
        )
    total = face_pb2.Span(name="total", elapsed_ms=watch.now_ms(), children=steps)
    reply.timing.CopyFrom(face_pb2.Timing(total=total, critical_path=critical_path(steps)))
    return reply


def _faces(faces: Faces, quality: Quality, width: int, height: int) -> list[face_pb2.Face]:
    messages = []
    for index, (x, y, w, h) in enumerate(faces.boxes.tolist()):
        face = face_pb2.Face(
            box=face_pb2.PixelBox(x=x, y=y, width=w, height=h),
            ratio_box=face_pb2.RatioBox(left=x / width, top=y / height, width=w / width, height=h / height),
            quality=_quality(quality, index),
        )
        if faces.points is not None:
            face.landmarks.CopyFrom(_landmarks(faces.points[index].tolist()))
        if faces.scores is not None:
            face.detection_score = float(faces.scores[index])
        messages.append(face)
    return messages


def _quality(quality: Quality, index: int) -> face_pb2.Quality:
    message = face_pb2.Quality(size_px=float(quality.size_px[index]), sharpness=float(quality.sharpness[index]))
    if quality.too_small[index]:
        message.abstained.append(face_pb2.Quality.FACE_TOO_SMALL)
    if quality.too_blurred[index]:
        message.abstained.append(face_pb2.Quality.FACE_TOO_BLURRED)
    return message


def _landmarks(points: Sequence[tuple[float, float]]) -> face_pb2.Landmarks:
    right_eye, left_eye, nose, right_mouth, left_mouth = (face_pb2.Point(x=x, y=y) for x, y in points)
    return face_pb2.Landmarks(
        right_eye=right_eye,
        left_eye=left_eye,
        nose=nose,
        right_mouth_corner=right_mouth,
        left_mouth_corner=left_mouth,
    )


def _fill_age(face: face_pb2.Face, answers: Answers, index: int, labels: Sequence[str]) -> None:
    years, low, high = (float(answers[name][index]) for name in ("years", "low", "high"))
    face.age.CopyFrom(face_pb2.Age(years=years, low=low, high=high))


def _fill_gender(face: face_pb2.Face, answers: Answers, index: int, labels: Sequence[str]) -> None:
    male = float(answers["p_male"][index])
    value, probability = ("male", male) if male >= 0.5 else ("female", 1 - male)
    face.gender.CopyFrom(face_pb2.Gender(value=value, probability=probability))


def _fill_emotion(face: face_pb2.Face, answers: Answers, index: int, labels: Sequence[str]) -> None:
    probabilities = dict(zip(labels, answers["probabilities"][index].tolist(), strict=True))
    ranked = sorted(probabilities.items(), key=lambda item: -item[1])
    face.emotions.extend(face_pb2.Emotion(label=label, probability=p) for label, p in ranked)
    point = mood(probabilities)
    face.mood.CopyFrom(face_pb2.Mood(valence=point.valence, arousal=point.arousal, label=point.label))


_FILL: dict[Task, Callable[[face_pb2.Face, Answers, int, Sequence[str]], None]] = {
    "age": _fill_age,
    "gender": _fill_gender,
    "emotion": _fill_emotion,
}


def _task_result(outcome: Outcome, model: face_pb2.ModelInfo) -> face_pb2.TaskResult:
    result = face_pb2.TaskResult(
        task=outcome.task, status=status_pb2.Status(code=outcome.code, message=outcome.message)
    )
    if outcome.code == code_pb2.OK:
        result.model.CopyFrom(_model(outcome, model))
    return result


def _model(outcome: Outcome, meant: face_pb2.ModelInfo) -> face_pb2.ModelInfo:
    """Return the model that answered; where nothing was asked, the one of the settings."""
    answered = outcome.prediction.models.get(outcome.task) if outcome.prediction else None
    return answered or meant
