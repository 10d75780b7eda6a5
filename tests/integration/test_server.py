"""Tests of the gRPC server over a real channel."""

import asyncio
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from numpy.typing import NDArray
from PIL import Image, ImageFilter

import mien
from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceStub
from mien_models.spec import Task
from mien_orchestrator.build import make_executor, make_service
from mien_orchestrator.pipeline.backend import Prediction
from mien_orchestrator.settings import Settings
from tests.backends import fanout_over
from tests.photographs import EXAMPLE
from tests.servers import Running


def test_a_photograph_is_analyzed_from_a_path_bytes_and_an_array(single: str) -> None:
    with mien.Client(single) as client:
        from_path, from_bytes = client.analyze(EXAMPLE), client.analyze(EXAMPLE.read_bytes())
        pixels = mien.draw(EXAMPLE, mien.Analysis.from_message(pb.AnalyzeResponse()))  # nothing to draw: the photograph
        from_array = client.analyze(pixels)
    assert from_path.faces == from_bytes.faces
    assert from_array.faces[0].box == from_path.faces[0].box
    assert "1 face in 512x512 JPEG" in str(from_path)


async def test_the_async_client_returns_the_same(single: str) -> None:
    async with mien.AsyncClient(single) as client:
        analysis, models, info = await asyncio.gather(client.analyze(EXAMPLE), client.models(), client.server_info())
    with mien.Client(single) as plain:
        assert plain.analyze(EXAMPLE).faces == analysis.faces
        assert (plain.models(), plain.server_info()) == (models, info)


def test_a_blurred_face_gets_no_prediction_remotely_or_locally(single: str, tmp_path: Path) -> None:
    path = tmp_path / "blurred.png"
    with Image.open(EXAMPLE) as picture:
        picture.filter(ImageFilter.GaussianBlur(6)).save(path)
    with mien.Client(single) as remote, mien.Client() as embedded:
        reported, here = remote.analyze(path), embedded.analyze(path)
        info = remote.server_info()
        assert info.min_face_px == embedded.server_info().min_face_px
    (face,) = reported.faces
    assert reported.faces == here.faces
    assert face.abstained_reasons == ("face_too_blurred",)
    assert 0 < face.quality.sharpness < info.min_sharpness
    assert face.quality.size_px == face.box.height
    assert (face.age, face.gender, face.emotion, face.mood) == (None,) * 4
    assert all(task.ok for task in reported.tasks)
    assert str(face).endswith("too blurred to tell")


def test_server_info_and_models_describe_the_server(single: str) -> None:
    with mien.Client(single) as client:
        info, models = client.server_info(), client.models()
    assert (info.deployment_mode, info.tasks, info.max_image_bytes) == (
        "single",
        ("age", "gender", "emotion"),
        4 * 2**20,
    )
    assert {"JPEG", "PNG", "WEBP", "BMP", "TIFF"} <= set(info.formats)
    assert {info.detector.device, *(model.device for model in info.models.values())} == {"cpu (CPUExecutionProvider)"}
    in_use = {name for model in models for name in model.tasks if model.is_default}
    assert in_use == {"age", "gender", "emotion"}


@pytest.mark.parametrize(
    ("image", "reason"),
    [(b"", "IMAGE_EMPTY"), (b"just text", "IMAGE_UNDECODABLE"), (EXAMPLE.read_bytes()[:2_000], "IMAGE_UNDECODABLE"),
     (b"\0" * (4 * 2**20 + 1), "IMAGE_TOO_LARGE")],
    ids=["empty", "text", "cut", "large"],
)  # fmt: skip
def test_an_invalid_image_is_rejected_with_a_reason(single: str, image: bytes, reason: str) -> None:
    with mien.Client(single) as client:
        with pytest.raises(mien.ImageError) as caught:
            client.analyze(image)
        assert caught.value.reason == reason
        assert "Traceback" not in str(caught.value)
        assert len(client.analyze(EXAMPLE).faces) == 1


def test_a_message_over_the_limit_is_refused(single: str) -> None:
    with mien.Client(single) as client, pytest.raises(mien.ImageError, match="larger than max") as caught:
        client.analyze(b"\0" * (5 * 2**20))
    assert caught.value.reason == "IMAGE_TOO_LARGE"


def test_errors_carry_error_info(single: str) -> None:
    with grpc.insecure_channel(single) as channel, pytest.raises(grpc.RpcError) as caught:
        FaceAnalysisServiceStub(channel).Analyze(pb.AnalyzeRequest(image=b"x", tasks=["nose"]), timeout=10)
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    info = error_details_pb2.ErrorInfo()
    assert status is not None
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("TASK_UNKNOWN", "mien")


def test_health_is_reported_for_the_server_and_each_task(single: str) -> None:
    with grpc.insecure_channel(single) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in ("", "mien.v1.FaceAnalysisService", "age", "gender", "emotion"):
            reply = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
            assert reply.status == health_pb2.HealthCheckResponse.SERVING, name


def test_an_unreachable_server_is_an_error_with_its_address() -> None:
    with mien.Client("127.0.0.1:1") as client, pytest.raises(mien.ServerUnavailableError, match=r"127\.0\.0\.1:1"):
        client.server_info(timeout=5)


def test_a_late_response_is_a_deadline_error(single: str) -> None:
    with mien.Client(single) as client, pytest.raises(mien.DeadlineExceededError):
        client.analyze(EXAMPLE, timeout=0.001)


def test_concurrent_calls_get_their_own_responses(single: str) -> None:
    """The same face on ever wider images: a swapped response would have another width."""
    pixels = mien.draw(EXAMPLE, mien.Analysis.from_message(pb.AnalyzeResponse()))
    pictures = [np.pad(pixels, ((0, 0), (0, 4 * step), (0, 0)), "edge") for step in range(24)]
    with mien.Client(single, timeout=120) as client, ThreadPoolExecutor(24) as pool:
        analyses = list(pool.map(client.analyze, pictures))
    assert [analysis.image.width for analysis in analyses] == [512 + 4 * step for step in range(24)]


class Hanging:
    """A model call that never answers; `released` is set when the last one was cancelled."""

    def __init__(self) -> None:
        self.waiting = 0
        self.started = threading.Event()
        self.released = threading.Event()

    async def call(self, tasks: Sequence[Task], crops: NDArray[np.uint8], deadline: float) -> Prediction:
        self.waiting += 1
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.waiting -= 1
            if self.waiting == 0:
                self.released.set()
        raise AssertionError


def test_a_cancelled_call_stops_the_work(running: Running) -> None:
    settings = Settings.load({"server.port": 0, "server.drain_s": 0})
    backend = Hanging()
    with make_executor(settings) as executor:
        service = make_service(settings, fanout_over(settings, backend.call), executor, pb.DEPLOYMENT_MODE_SINGLE)
        with running(service, settings) as address, grpc.insecure_channel(address) as channel:
            call = FaceAnalysisServiceStub(channel).Analyze.future(pb.AnalyzeRequest(image=EXAMPLE.read_bytes()))
            assert backend.started.wait(30)
            call.cancel()
            assert backend.released.wait(10)


def test_late_tasks_have_a_status_and_the_response_is_in_time(running: Running) -> None:
    """The tasks get the timeout less the headroom, of which the response needs less than half."""
    timeout, headroom = 6, 2
    settings = Settings.load({"server.port": 0, "server.drain_s": 0, "limits.deadline_headroom_s": headroom})
    with make_executor(settings) as executor:
        service = make_service(settings, fanout_over(settings, Hanging().call), executor, pb.DEPLOYMENT_MODE_SINGLE)
        with running(service, settings) as address, mien.Client(address) as client:
            started = time.monotonic()
            analysis = client.analyze(EXAMPLE, timeout=timeout)
            elapsed = time.monotonic() - started
    assert timeout - headroom - 0.1 < elapsed < timeout - headroom / 2
    assert {task.code for task in analysis.tasks} == {"DEADLINE_EXCEEDED"}
    assert len(analysis.faces) == 1


async def defective(tasks: Sequence[Task], crops: NDArray[np.uint8], deadline: float) -> Prediction:
    """Fail as code with a defect does."""
    raise ZeroDivisionError("/secret/path")


def test_no_traceback_reaches_a_client(running: Running) -> None:
    settings = Settings.load({"server.port": 0, "server.drain_s": 0})
    with make_executor(settings) as executor:
        service = make_service(settings, fanout_over(settings, defective), executor, pb.DEPLOYMENT_MODE_SINGLE)
        with running(service, settings) as address, mien.Client(address) as client:
            partial = str(client.analyze(EXAMPLE).message)
            with pytest.raises(mien.ServerError) as caught:
                client.analyze(EXAMPLE, all_or_nothing=True)
    for text in (partial, str(caught.value)):
        assert "Traceback" not in text
        assert "/secret" not in text
        assert "ZeroDivision" not in text


def test_an_invalid_message_is_rejected_with_a_reason(single: str) -> None:
    with grpc.insecure_channel(single) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/mien.v1.FaceAnalysisService/Analyze")(b"\xff\xff\xff", timeout=10)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]
    assert "DecodeError" not in caught.value.details()  # type: ignore[attr-defined]


def test_a_long_task_name_is_truncated_in_the_error(single: str) -> None:
    with mien.Client(single) as client, pytest.raises(mien.InvalidRequestError, match="unknown task 'xxx") as caught:
        client.analyze(EXAMPLE, tasks=["x" * 100_000])
    assert len(caught.value.message) < 200


def test_more_images_at_once_than_allowed_are_refused(running: Running) -> None:
    settings = Settings.load({"server.port": 0, "server.drain_s": 0, "limits.max_concurrent_requests": 1})
    backend = Hanging()
    with make_executor(settings) as executor:
        service = make_service(settings, fanout_over(settings, backend.call), executor, pb.DEPLOYMENT_MODE_SINGLE)
        with running(service, settings) as address, mien.Client(address) as client, ThreadPoolExecutor(1) as pool:
            first = pool.submit(client.analyze, EXAMPLE, timeout=5)
            assert backend.started.wait(30)
            with pytest.raises(mien.OverloadedError) as caught:
                client.analyze(EXAMPLE, timeout=1.4)
            assert caught.value.reason == "SERVER_BUSY"
            assert caught.value.retry_after is not None
            assert len(first.result().faces) == 1


def test_closing_waits_for_the_calls_in_flight() -> None:
    others = set(threading.enumerate())
    client = mien.Client()
    (loop,) = {thread for thread in threading.enumerate() if thread.name == "mien-local"} - others
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(client.analyze, EXAMPLE) for _ in range(4)]
        calls[0].result()
        client.close()
        assert not loop.is_alive()
        outcomes = [call.exception() for call in calls]
    assert all(outcome is None or getattr(outcome, "reason", "") == "CLIENT_CLOSED" for outcome in outcomes)
    with pytest.raises(mien.MienError, match="closed"):
        client.analyze(EXAMPLE)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # the fork is intended
def test_a_client_used_after_a_fork_raises_an_error() -> None:
    with mien.Client() as client:
        client.server_info()
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                client.analyze(EXAMPLE)
                outcome = b"answered"
            except mien.MienError as error:
                outcome = error.reason.encode()
            os.write(write, outcome)
            os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            assert pipe.read() == b"FORKED"
        os.waitpid(child, 0)
