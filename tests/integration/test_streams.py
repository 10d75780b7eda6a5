"""Tests of video streams: the same over every engine, errors of frames and of streams, limits, cancellation."""

import asyncio
import itertools
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from numpy.typing import NDArray

import mien
from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceStub
from mien_orchestrator.build import make_executor, make_inline_service
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.settings import Settings
from tests.moving_faces import pan
from tests.servers import Running, free_port
from tests.waits import wait_until

FRAMES = 12


def encoded(picture: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".jpg", picture[:, :, ::-1])[1].tobytes()


def reason_of(error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    status, info = rpc_status.from_call(error), error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    return error.code(), info.reason


def simple(results: list[mien.FrameResult]) -> list[object]:
    """Return what does not depend on the time that analyses took."""
    return [
        (result.frame_id, result.timestamp_ms, result.faces, result.events, result.detected, result.cut)
        for result in results
    ]


@pytest.fixture(scope="module")
def local_results() -> list[mien.FrameResult]:
    with mien.Client.local() as client:
        return list(client.stream(pan(FRAMES)))


def test_a_face_is_followed_and_answered(local_results: list[mien.FrameResult]) -> None:
    *frames, last = local_results
    assert [result.frame_id for result in frames] == list(range(FRAMES))
    assert [result.timestamp_ms for result in frames] == [40.0 * number for number in range(FRAMES)]
    assert {tuple(face.track_id for face in result.faces) for result in frames} == {(1,)}
    assert [result.detected for result in frames] == [number % 5 == 0 for number in range(FRAMES)]
    (first,) = frames[0].faces
    assert first.raw.age
    assert first.face.age == first.raw.age
    (second,) = frames[1].faces
    assert second.raw.age  # a new track gets predictions quickly
    assert not second.raw.emotions
    assert second.face.emotions == first.face.emotions
    assert frames[0].events[0].kind == "track_started"
    (end,) = last.events
    assert (last.frame_id, end.kind, end.end_reason, end.track_id) == (None, "track_ended", "stream_ended", 1)
    assert end.summary
    assert (end.summary.frames, end.summary.duration_ms) == (FRAMES, 40.0 * (FRAMES - 1))


def test_a_server_gives_the_same_results(single: str, local_results: list[mien.FrameResult]) -> None:
    with mien.Client(single) as client:
        assert simple(list(client.stream(pan(FRAMES)))) == simple(local_results)


async def test_the_async_twins_give_the_same_results(single: str, local_results: list[mien.FrameResult]) -> None:
    async def frames() -> AsyncIterator[mien.Frame]:
        for number, picture in enumerate(pan(FRAMES)):
            yield mien.Frame(picture, timestamp_ms=40.0 * number, id=number)

    async with mien.AsyncClient(single) as client:
        assert simple([result async for result in client.stream(frames())]) == simple(local_results)
    async with mien.AsyncClient.local() as client:
        assert simple([result async for result in client.stream(pan(FRAMES))]) == simple(local_results)


def test_a_bad_frame_has_its_error_and_the_stream_goes_on(single: str) -> None:
    pictures = list(pan(4))
    frames = [
        mien.Frame(pictures[0], 0),
        mien.Frame(b"no image", 40),
        mien.Frame(pictures[1], 40),
        mien.Frame(pictures[2], 80, id=77),
        mien.Frame(pictures[3], float("nan")),
        mien.Frame(pictures[3], 120),
    ]
    with mien.Client(single) as client:
        *results, _ = client.stream(frames)
    reasons = [result.error.reason if result.error else None for result in results]
    assert reasons == [None, "IMAGE_UNDECODABLE", "TIMESTAMP_NOT_RISING", None, "TIMESTAMP_INVALID", None]
    assert [len(result.faces) for result in results] == [1, 0, 0, 1, 0, 1]
    assert results[3].frame_id == 77
    assert results[5].faces[0].track_id == 1


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "STREAM_CONFIG_MISSING"),
        ([pb.AnalyzeStreamRequest(frame=pb.Frame())], "STREAM_CONFIG_MISSING"),
        ([pb.AnalyzeStreamRequest(config=pb.StreamConfig(tasks=["height"]))], "TASK_UNKNOWN"),
        ([pb.AnalyzeStreamRequest(config=pb.StreamConfig(max_faces=0))], "MAX_FACES_INVALID"),
        ([pb.AnalyzeStreamRequest(config=pb.StreamConfig(detection_interval=0))], "STREAM_CONFIG_INVALID"),
        ([pb.AnalyzeStreamRequest(config=pb.StreamConfig(smoothing_half_life_ms=-1))], "STREAM_CONFIG_INVALID"),
        ([pb.AnalyzeStreamRequest(config=pb.StreamConfig(attribute_intervals_ms={"x": 1}))], "STREAM_CONFIG_INVALID"),
        ([pb.AnalyzeStreamRequest(config=pb.StreamConfig())] * 2, "STREAM_MESSAGE_INVALID"),
    ],
)
def test_wrong_messages_end_the_stream_with_a_reason(
    single: str, messages: list[pb.AnalyzeStreamRequest], reason: str
) -> None:
    with grpc.insecure_channel(single) as channel, pytest.raises(grpc.RpcError) as raised:
        list(FaceAnalysisServiceStub(channel).AnalyzeStream(iter(messages), timeout=30))
    assert reason_of(raised.value) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


def test_an_error_of_the_frames_reaches_the_caller(single: str) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield next(pan(1))
        raise ZeroDivisionError("the camera")

    for client in (mien.Client(single), mien.Client.local()):
        with client, pytest.raises(ZeroDivisionError, match="the camera"):
            list(client.stream(broken()))


def test_invalid_options_are_refused_before_the_first_frame(single: str) -> None:
    with mien.Client(single) as client:
        for options in (
            {"drop_policy": "all"},
            {"frame_rate": 0},
            {"detection_interval": 101},
            {"max_faces": -1},
            {"tasks": "age"},
        ):
            with pytest.raises(mien.InvalidRequestError):
                list(client.stream(pan(1), **options))  # type: ignore[arg-type]
        for frames in ("video.mp4", Path("video.mp4"), b"picture"):
            with pytest.raises(mien.InvalidRequestError, match="an iterable of pictures"):
                list(client.stream(frames))  # type: ignore[arg-type]


@contextmanager
def limited(running: Running, *, port: int = 0, **limits: float) -> Iterator[tuple[FaceAnalysis, mien.Client]]:
    """Yield a service with these limits of streams, and a client of its server."""
    settings = Settings.load({"server.port": port, **{f"streams.{name}": value for name, value in limits.items()}})
    with make_executor(settings) as seeing, make_executor(settings) as computing:
        service = make_inline_service(settings, seeing, computing, pb.DEPLOYMENT_MODE_SINGLE)
        with running(service, settings) as address, mien.Client(address) as client:
            yield service, client


def test_too_many_streams_are_refused_and_a_closed_one_frees_its_place(running: Running) -> None:
    with limited(running, max_streams=1) as (service, client):
        first = client.stream(itertools.cycle(pan(2)), drop_policy="latest")
        next(first)
        with pytest.raises(mien.OverloadedError) as raised:
            list(client.stream(pan(1)))
        assert raised.value.reason == "STREAMS_EXHAUSTED"
        first.close()
        wait_until(lambda: service.open_streams == 0)
        assert service.stream_bytes == 0
        assert len(list(client.stream(pan(1)))) == 2


def test_frames_above_the_limits_are_refused_with_a_reason(running: Running) -> None:
    with limited(running, max_frame_rate=2, max_frame_pixels=320 * 240) as (_, client):
        large = np.zeros((241, 320, 3), np.uint8)
        frames = [mien.Frame(picture, 100.0 * number) for number, picture in enumerate([*pan(2), *pan(1)])]
        *results, _ = client.stream([*frames, mien.Frame(large, 1500.0)])
    reasons = [result.error.reason if result.error else None for result in results]
    assert reasons == [None, None, "FRAME_RATE_EXCEEDED", "IMAGE_TOO_LARGE"]


def test_a_stream_without_frames_ends_after_the_idle_timeout(running: Running) -> None:
    ended = threading.Event()

    def silent() -> Iterator[np.ndarray]:
        yield next(pan(1))
        ended.wait(30)

    with limited(running, idle_timeout_s=0.3) as (service, client):
        results = client.stream(silent())
        next(results)
        with pytest.raises(mien.DeadlineExceededError) as raised:
            next(results)
        ended.set()
        assert raised.value.reason == "STREAM_IDLE"
        wait_until(lambda: service.open_streams == 0)


def fed(frames: Sequence[np.ndarray], allowed: threading.Semaphore) -> Iterator[mien.Frame]:
    """Yield each frame once it is allowed."""
    for number, picture in enumerate(frames):
        assert allowed.acquire(timeout=60)
        yield mien.Frame(picture, 40.0 * number)


def test_tracks_go_on_after_a_server_has_stopped_and_another_one_took_its_place(
    running: Running,
) -> None:
    port = free_port()
    pictures, allowed = list(pan(40)), threading.Semaphore(20)
    with mien.Client(f"127.0.0.1:{port}") as client:
        results = client.stream(fed(pictures, allowed))
        with limited(running, port=port):
            before = list(itertools.islice(results, 20))
        for _ in range(20):
            allowed.release()
        with limited(running, port=port):
            after = list(results)
    assert [result.frame_id for result in [*before, *after]] == [*range(40), None]
    assert {face.track_id for result in [*before, *after] for face in result.faces} == {1}
    assert not any(result.restarted for result in after)
    assert after[0].faces[0].face.age
    (end,) = after[-1].events
    assert end.summary
    assert end.summary.frames >= 27  # the state is sent twice per second


async def test_the_async_twin_goes_on_too(running: Running) -> None:
    port = free_port()
    pictures, results = list(pan(30)), []
    with ExitStack() as servers:
        first = servers.enter_context(ExitStack())
        first.enter_context(limited(running, port=port))
        async with mien.AsyncClient(f"127.0.0.1:{port}") as client:
            async for result in client.stream(pictures):
                results.append(result)
                if result.frame_id == 10:
                    await asyncio.to_thread(first.close)
                    servers.enter_context(limited(running, port=port))
    assert [result.frame_id for result in results] == [*range(30), None]
    assert {face.track_id for result in results for face in result.faces} == {1}


@pytest.mark.parametrize(
    "change",
    [
        lambda state: b"{}",
        lambda state: state[:-20],
        lambda state: state.replace(b'"next_id":2', b'"next_id":-2'),
        lambda state: state.replace(b'"happy"', b'"joyful"'),
        lambda state: state * 1000,
    ],
    ids=["empty", "cut", "negative", "unknown emotion", "long"],
)
def test_an_invalid_state_is_refused(single: str, change: Callable[[bytes], bytes]) -> None:
    picture = mien.Frame(encoded(next(pan(1))), 0)
    frame = pb.AnalyzeStreamRequest(frame=pb.Frame(image=picture.image, timestamp_ms=0))
    config = pb.AnalyzeStreamRequest(config=pb.StreamConfig(send_state=True))
    with grpc.insecure_channel(single) as channel:
        stub = FaceAnalysisServiceStub(channel)
        first, _ = stub.AnalyzeStream(iter([config, frame]), timeout=30)
        resumed = pb.AnalyzeStreamRequest(config=pb.StreamConfig(state=first.state))
        later = pb.AnalyzeStreamRequest(frame=pb.Frame(image=picture.image, timestamp_ms=40))
        reply, _ = stub.AnalyzeStream(iter([resumed, later]), timeout=30)
        assert [face.track_id for face in reply.faces] == [1]
        bad = pb.AnalyzeStreamRequest(config=pb.StreamConfig(state=change(first.state)))
        with pytest.raises(grpc.RpcError) as raised:
            list(stub.AnalyzeStream(iter([bad]), timeout=30))
    assert reason_of(raised.value) == (grpc.StatusCode.INVALID_ARGUMENT, "STREAM_STATE_INVALID")


def test_live_frames_are_dropped_before_they_are_decoded_and_counted(single: str) -> None:
    pictures = list(pan(2, width=1280, height=960)) * 40
    with mien.Client(single) as client:
        *results, _ = client.stream([encoded(picture) for picture in pictures], drop_policy="latest")
    assert len(results) < len(pictures)
    assert len(results) + sum(result.dropped_frames for result in results) == len(pictures)
    assert results[-1].frame_id == len(pictures) - 1


def test_tracks_go_on_after_a_server_was_killed() -> None:
    port, pictures, results = free_port(), list(pan(60)), []
    with ExitStack() as servers, mien.Client(f"127.0.0.1:{port}", timeout=60) as client:
        first = servers.enter_context(served(port))
        for result in client.stream(pictures):
            results.append(result)
            if result.frame_id == 30:
                first.kill()
                first.wait(60)
                servers.enter_context(served(port))
    assert [result.frame_id for result in results] == [*range(60), None]
    assert {face.track_id for result in results for face in result.faces} == {1}
    assert not any(result.error or result.restarted for result in results)


@contextmanager
def served(port: int) -> Iterator["subprocess.Popen[str]"]:
    """Run `mien serve --inline` as a process of its own, which may be killed meanwhile."""
    command = [Path(sys.executable).parent / "mien", "serve", "--inline", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline()
        yield process
        process.terminate()
        process.wait(60)
