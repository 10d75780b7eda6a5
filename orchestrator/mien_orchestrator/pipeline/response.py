"""Build the reply from faces and task outcomes."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from google.rpc import status_pb2
from numpy.typing import NDArray

from mien.v1 import face_pb2
from mien.v1 import face_service_pb2 as pb
from mien_models.faces import Faces
from mien_models.mood import Mood, MoodLabel, mood
from mien_models.quality import Quality
from mien_models.spec import Task
from mien_orchestrator.pipeline.backend import Outcome
from mien_orchestrator.pipeline.face_stage import PreparedFaces
from mien_orchestrator.pipeline.timing import SpanRecorder, consecutive, critical_path

_MOODS: Mapping[MoodLabel, face_pb2.MoodLabel.ValueType] = {
    "excited": face_pb2.MOOD_LABEL_EXCITED,
    "content": face_pb2.MOOD_LABEL_CONTENT,
    "tense": face_pb2.MOOD_LABEL_TENSE,
    "gloomy": face_pb2.MOOD_LABEL_GLOOMY,
    "neutral": face_pb2.MOOD_LABEL_NEUTRAL,
}

Answers = Mapping[str, NDArray[np.float32]]


def merge(
    prepared: PreparedFaces,
    outcomes: Mapping[Task, Outcome],
    models: Mapping[Task, face_pb2.ModelInfo],
    detector: face_pb2.ModelInfo,
    spans: SpanRecorder,
) -> pb.AnalyzeResponse:
    """Build the reply; its timing tree ends with this step.

    Args:
        prepared: The faces.
        outcomes: How each task ended; empty if no face was answerable.
        models: The requested tasks in their order, each with the model of the settings.
        detector: The detector.
        spans: The recorded steps.

    """
    with spans.step("merge"):
        faces = face_messages(prepared.faces, prepared.quality, prepared.image.width, prepared.image.height)
        for task, outcome in outcomes.items():
            if outcome.prediction:
                model = _model(task, outcome, models[task])
                for index, place in enumerate(prepared.quality.answerable):
                    _FILL[task](faces[place], outcome.prediction.answers, index, model)
        reply = pb.AnalyzeResponse(
            faces=faces,
            faces_truncated=prepared.truncated,
            image=prepared.image,
            tasks=[task_result(task, outcomes.get(task), model) for task, model in models.items()],
            detector=detector,
        )
    total = face_pb2.Span(name="total", elapsed_ms=spans.now_ms(), children=spans.steps)
    reply.timing.CopyFrom(face_pb2.Timing(total=total, critical_path=critical_path(spans.steps)))
    return reply


def task_span(task: Task, outcome: Outcome) -> face_pb2.Span:
    """Return the span of a task, with queue, compute and transport inside if it was answered."""
    span = face_pb2.Span(name=task, start_ms=outcome.start_ms, elapsed_ms=outcome.elapsed_ms)
    if outcome.prediction:
        prediction = outcome.prediction
        parts = [
            ("queue", prediction.queue_ms),
            ("compute", prediction.compute_ms),
            ("transport", prediction.transport_ms),
        ]
        span.children.extend(consecutive(outcome.start_ms, parts))
    return span


def face_messages(faces: Faces, quality: Quality, width: int, height: int) -> list[face_pb2.Face]:
    """Return the faces of an upright image of this size in pixels, without answers."""
    messages = []
    for index, (x, y, w, h) in enumerate(faces.boxes.tolist()):
        face = face_pb2.Face(
            box=face_pb2.Box(x=x, y=y, width=w, height=h),
            ratio_box=face_pb2.Box(x=x / width, y=y / height, width=w / width, height=h / height),
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
        message.abstained_reasons.append(face_pb2.Quality.REASON_FACE_TOO_SMALL)
    if quality.too_blurred[index]:
        message.abstained_reasons.append(face_pb2.Quality.REASON_FACE_TOO_BLURRED)
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


def _fill_age(face: face_pb2.Face, answers: Answers, index: int, model: face_pb2.ModelInfo) -> None:
    years, low, high = (float(answers[name][index]) for name in ("years", "low", "high"))
    face.age.CopyFrom(face_pb2.Age(years=years, low=low, high=high))


def _fill_gender(face: face_pb2.Face, answers: Answers, index: int, model: face_pb2.ModelInfo) -> None:
    face.gender.CopyFrom(gender_message(float(answers["p_male"][index]), model))


def _fill_emotion(face: face_pb2.Face, answers: Answers, index: int, model: face_pb2.ModelInfo) -> None:
    probabilities = dict(zip(model.labels, answers["probabilities"][index].tolist(), strict=True))
    face.emotions.extend(emotion_messages(probabilities))
    face.mood.CopyFrom(mood_message(mood(probabilities)))


def gender_message(p_male: float, model: face_pb2.ModelInfo) -> face_pb2.Gender:
    """Return the more probable gender, or `uncertain` below the model's threshold."""
    probability = max(p_male, 1 - p_male)
    value = face_pb2.GENDER_VALUE_MALE if p_male >= 0.5 else face_pb2.GENDER_VALUE_FEMALE
    if model.HasField("gender_uncertain_below") and probability < model.gender_uncertain_below:
        value = face_pb2.GENDER_VALUE_UNCERTAIN
    return face_pb2.Gender(value=value, probability=probability, male_probability=p_male)


def emotion_messages(probabilities: Mapping[str, float]) -> list[face_pb2.Emotion]:
    """Return the emotions, most probable first."""
    ranked = sorted(probabilities.items(), key=lambda item: -item[1])
    return [face_pb2.Emotion(label=label, probability=probability) for label, probability in ranked]


def mood_message(value: Mood) -> face_pb2.Mood:
    """Return a mood as a message."""
    return face_pb2.Mood(valence=value.valence, arousal=value.arousal, label=_MOODS[value.label])


_FILL: dict[Task, Callable[[face_pb2.Face, Answers, int, face_pb2.ModelInfo], None]] = {
    "age": _fill_age,
    "gender": _fill_gender,
    "emotion": _fill_emotion,
}


def task_result(task: Task, outcome: Outcome | None, model: face_pb2.ModelInfo) -> face_pb2.TaskResult:
    """Return the result of a task; `model` is the configured one."""
    if outcome and outcome.error:
        status = status_pb2.Status(code=outcome.error.code, message=outcome.error.message)
        return face_pb2.TaskResult(task=task, status=status)
    return face_pb2.TaskResult(task=task, status=status_pb2.Status(), model=_model(task, outcome, model))


def _model(task: Task, outcome: Outcome | None, configured: face_pb2.ModelInfo) -> face_pb2.ModelInfo:
    """Return the model that answered, or the configured one if none was called."""
    answered = outcome.prediction.models.get(task) if outcome and outcome.prediction else None
    return answered or configured
