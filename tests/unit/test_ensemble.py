"""Tests of the request pipeline, with real models and with backends that fail."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import mien
from mien.v1 import face_pb2
from mien.v1 import face_service_pb2 as pb
from mien_models.spec import Task
from mien_orchestrator.build import make_executor, make_inline_backend, make_service
from mien_orchestrator.pipeline.backend import Backend, Crops, ModelCall, Outcome, Prediction
from mien_orchestrator.pipeline.request_context import RequestContext
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.settings import Settings
from tests.backends import fanout, within

PHOTO = (Path(__file__).parents[2] / "examples" / "astronaut.jpg").read_bytes()
SETTINGS = Settings.load()


@pytest.fixture(scope="module")
def executor() -> Iterator[ThreadPoolExecutor]:
    with make_executor(SETTINGS) as pool:
        yield pool


@pytest.fixture(scope="module")
def backend(executor: ThreadPoolExecutor) -> Backend:
    return make_inline_backend(SETTINGS, executor)


@pytest.fixture(scope="module")
def service(backend: Backend, executor: ThreadPoolExecutor) -> FaceAnalysis:
    return make_service(SETTINGS, backend, executor, pb.DEPLOYMENT_MODE_EMBEDDED)


class Faulty:
    """The call of real models, of which one task misbehaves."""

    def __init__(self, task: Task, fault: str) -> None:
        self._task, self._fault = task, fault

    def wrap(self, inner: ModelCall) -> ModelCall:
        async def call(tasks: Sequence[Task], crops: NDArray[np.uint8], deadline: float) -> Prediction:
            prediction = await inner(tasks, crops, deadline)
            return await self._spoil(prediction) if self._task in tasks else prediction

        return call

    async def _spoil(self, prediction: Prediction) -> Prediction:
        match self._fault:
            case "raises":
                raise RuntimeError("/secret/path: division by zero")
            case "down":
                raise mien.ServerUnavailableError("the worker is down")
            case "hangs":
                await asyncio.Event().wait()
            case "nan":
                return Prediction({name: values * np.nan for name, values in prediction.answers.items()}, 0, 0, 0)
            case "short":
                return Prediction({name: values[:0] for name, values in prediction.answers.items()}, 0, 0, 0)
        raise AssertionError(self._fault)


def request(**fields: object) -> pb.AnalyzeRequest:
    return pb.AnalyzeRequest(image=PHOTO, **fields)  # type: ignore[arg-type]


async def test_an_image_gets_a_complete_response(service: FaceAnalysis) -> None:
    reply = await service.analyze(request(), within(30))
    (face,) = reply.faces
    assert (reply.image.width, reply.image.height, reply.image.format) == (512, 512, "JPEG")
    assert 0 < reply.image.smallest_face_px < 40
    assert face.gender.value == face_pb2.GENDER_VALUE_FEMALE
    assert face.age.low <= face.age.years <= face.age.high
    assert face.emotions[0].label == "happy"
    assert sum(emotion.probability for emotion in face.emotions) == pytest.approx(1, abs=1e-4)
    assert sorted((e.probability for e in face.emotions), reverse=True) == [e.probability for e in face.emotions]
    assert face.mood.label == face_pb2.MOOD_LABEL_EXCITED
    assert face.ratio_box.x == pytest.approx(face.box.x / 512)
    assert [(task.task, task.status.code) for task in reply.tasks] == [("age", 0), ("gender", 0), ("emotion", 0)]
    assert all(task.model.digest.startswith("sha256:") for task in reply.tasks)


async def test_only_requested_tasks_are_run(service: FaceAnalysis) -> None:
    reply = await service.analyze(request(tasks=["gender", "gender"]), within(30))
    assert [task.task for task in reply.tasks] == ["gender"]
    (face,) = reply.faces
    assert face.HasField("gender")
    assert not face.HasField("age")
    assert not face.emotions
    assert not face.HasField("mood")


class CountingBackend:
    """A real backend that remembers how many crops each task got."""

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self.crops: dict[Task, int] = {}

    async def predict(self, crops: Crops, context: RequestContext) -> Mapping[Task, Outcome]:
        self.crops |= {task: len(stack) for task, stack in crops.items()}
        return await self._inner.predict(crops, context)


def three_faces() -> bytes:
    """The photograph three times, left to right and largest first: blurred, as it is, and half as large."""
    plain = np.asarray(mien.draw(PHOTO, mien.Analysis.from_message(pb.AnalyzeResponse())))
    large = cv2.resize(plain, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_LINEAR)
    half = cv2.resize(plain, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    pictures = [cv2.GaussianBlur(large, (0, 0), 9), plain, half]
    heights = [(0, len(large) - len(picture)) for picture in pictures]
    return mien.request.image_bytes(
        np.hstack([np.pad(image, (pad, (0, 0), (0, 0)), "edge") for image, pad in zip(pictures, heights, strict=True)])
    )


async def test_only_faces_below_the_quality_limits_get_no_prediction(
    backend: Backend, executor: ThreadPoolExecutor
) -> None:
    photo = pb.AnalyzeRequest(image=three_faces())
    everything = Settings.load(
        {"limits.min_face_px": 0, "limits.min_sharpness": 0, "detector.name": "haar", "detector.long_side_px": 2000}
    )
    lenient = await make_service(everything, backend, executor, pb.DEPLOYMENT_MODE_EMBEDDED).analyze(photo, within(30))
    sizes = [face.quality.size_px for face in lenient.faces]
    strict = Settings.load(
        {
            "limits.min_face_px": (sizes[1] + sizes[2]) / 2,
            "limits.min_sharpness": 0.12,
            "detector.name": "haar",
            "detector.long_side_px": 2000,
        }
    )
    counting = CountingBackend(backend)
    reply = await make_service(strict, counting, executor, pb.DEPLOYMENT_MODE_EMBEDDED).analyze(photo, within(30))
    reasons = face_pb2.Quality
    assert [list(face.quality.abstained_reasons) for face in reply.faces] == [
        [reasons.REASON_FACE_TOO_BLURRED],
        [],
        [reasons.REASON_FACE_TOO_SMALL],
    ]
    assert counting.crops == {"age": 1, "gender": 1, "emotion": 1}
    assert reply.faces[1].age.years == pytest.approx(lenient.faces[1].age.years, abs=1e-3)
    assert reply.faces[1].emotions[0].label == lenient.faces[1].emotions[0].label
    for poor in (reply.faces[0], reply.faces[2]):
        assert poor.box.width > 0
        assert not poor.HasField("age")
        assert not poor.HasField("gender")
        assert not poor.HasField("mood")
        assert not poor.emotions


async def test_an_image_with_only_low_quality_faces_is_not_an_error(
    backend: Backend, executor: ThreadPoolExecutor
) -> None:
    counting = CountingBackend(backend)
    service = make_service(Settings.load({"limits.min_face_px": 5000}), counting, executor, pb.DEPLOYMENT_MODE_EMBEDDED)
    reply = await service.analyze(request(failure_policy=pb.FAILURE_POLICY_ALL_OR_NOTHING), within(30))
    (face,) = mien.Analysis.from_message(reply).faces
    assert face.abstained_reasons == ("face_too_small",)
    assert (face.age, face.gender, face.emotion, face.mood) == (None,) * 4
    assert [task.status.code for task in reply.tasks] == [0, 0, 0]
    assert counting.crops == {}


async def test_an_image_without_faces_is_not_an_error(service: FaceAnalysis) -> None:
    blank = mien.request.image_bytes(np.full((80, 120, 3), 90, np.uint8))
    reply = await service.analyze(pb.AnalyzeRequest(image=blank), within(30))
    assert len(reply.faces) == 0
    assert [task.status.code for task in reply.tasks] == [0, 0, 0]


async def test_an_unknown_task_is_refused_with_the_known_ones(service: FaceAnalysis) -> None:
    with pytest.raises(mien.InvalidRequestError, match="unknown task 'nose'; this server has: age, gender, emotion"):
        await service.analyze(request(tasks=["nose"]), within(30))


@pytest.mark.parametrize(("image", "reason"), [(b"", "IMAGE_EMPTY"), (b"text", "IMAGE_UNDECODABLE")])
async def test_an_invalid_image_is_an_error_with_a_reason(service: FaceAnalysis, image: bytes, reason: str) -> None:
    with pytest.raises(mien.ImageError) as caught:
        await service.analyze(pb.AnalyzeRequest(image=image), within(30))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("raises", "INTERNAL"),
        ("down", "UNAVAILABLE"),
        ("hangs", "DEADLINE_EXCEEDED"),
        ("nan", "INTERNAL"),
        ("short", "INTERNAL"),
    ],
)
async def test_a_failing_task_has_a_status_and_the_others_succeed(
    executor: ThreadPoolExecutor, fault: str, code: str
) -> None:
    service = make_service(
        SETTINGS, fanout(SETTINGS, executor, Faulty("emotion", fault).wrap), executor, pb.DEPLOYMENT_MODE_EMBEDDED
    )
    analysis = mien.Analysis.from_message(await service.analyze(request(), within(3)))
    assert {task.task: task.code for task in analysis.tasks} == {"age": "OK", "gender": "OK", "emotion": code}
    (face,) = analysis.faces
    assert face.age is not None
    assert face.gender is not None
    assert face.emotions == ()
    assert face.mood is None
    (failed,) = [task for task in analysis.tasks if not task.ok]
    assert "emotion" in failed.message or "worker" in failed.message
    assert "/secret" not in failed.message


async def test_all_or_nothing_fails_with_the_tasks_error(executor: ThreadPoolExecutor) -> None:
    service = make_service(
        SETTINGS, fanout(SETTINGS, executor, Faulty("age", "down").wrap), executor, pb.DEPLOYMENT_MODE_EMBEDDED
    )
    with pytest.raises(mien.ServerUnavailableError):
        await service.analyze(request(failure_policy=pb.FAILURE_POLICY_ALL_OR_NOTHING), within(30))


async def test_an_expired_deadline_is_an_error(service: FaceAnalysis) -> None:
    with pytest.raises(mien.DeadlineExceededError):
        await service.analyze(request(), within(0.001))


async def test_the_timing_tree_adds_up(service: FaceAnalysis) -> None:
    reply = await service.analyze(request(), within(30))
    total = reply.timing.total
    steps = {span.name: span for span in total.children}
    assert list(steps)[-5:] == ["decode", "detect", "crop", "tasks", "merge"]
    assert sum(span.elapsed_ms for span in total.children) <= total.elapsed_ms
    tasks = steps["tasks"]
    assert {span.name for span in tasks.children} == {"age", "gender", "emotion"}
    for task in tasks.children:
        assert inside(task, tasks)
        assert {part.name for part in task.children} <= {"queue", "compute", "transport"}
        assert sum(part.elapsed_ms for part in task.children) <= task.elapsed_ms + 0.01
    last = max(tasks.children, key=lambda span: span.start_ms + span.elapsed_ms)
    assert list(reply.timing.critical_path)[-5:] == ["decode", "detect", "crop", last.name, "merge"]


def inside(inner: face_pb2.Span, outer: face_pb2.Span) -> bool:
    """Return whether a span is inside another, up to the clock's rounding."""
    ends = inner.start_ms + inner.elapsed_ms <= outer.start_ms + outer.elapsed_ms + 0.01
    return inner.start_ms >= outer.start_ms - 0.01 and ends


async def test_concurrent_requests_get_their_own_responses(service: FaceAnalysis) -> None:
    """Frames of different widths hold the same face at different places."""
    with mien.Client() as client:
        face = client.analyze(PHOTO).faces[0]
    pixels = np.asarray(mien.draw(PHOTO, mien.Analysis.from_message(pb.AnalyzeResponse())))
    padded = [np.pad(pixels, ((0, 0), (8 * step, 0), (0, 0)), "edge") for step in range(12)]
    images = [mien.request.image_bytes(picture) for picture in padded]
    replies = await asyncio.gather(*(service.analyze(pb.AnalyzeRequest(image=image), within(60)) for image in images))
    for step, reply in enumerate(replies):
        assert reply.image.width == 512 + 8 * step
        assert max(found.box.x for found in reply.faces) == pytest.approx(face.box.x + 8 * step, abs=12)
