"""Tests of streams over a WebSocket: replies as over gRPC, and invalid, slow and leaving clients."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from mien.types.proto_json import as_dict
from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceStub
from mien_orchestrator.edge.auth.tokens import token_line
from mien_orchestrator.edge.http import stream as http_stream
from mien_orchestrator.edge.server import Server
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.settings import Settings
from tests.http_client import fetch, send_bytes
from tests.photographs import EXAMPLE
from tests.servers import running_server
from tests.waits import wait_until

IMAGE = EXAMPLE.read_bytes()
END = b""


def open_stream(url: str, query: str = "", **options: Any) -> ClientConnection:
    return connect(
        f"{url.replace('http', 'ws', 1)}/v1/stream{query}", proxy=None, max_size=None, open_timeout=20, **options
    )


def replies(socket: ClientConnection) -> list[dict[str, Any]]:
    """Read until the server closes in order."""
    found = [json.loads(text) for text in socket]
    assert socket.close_code == 1000
    return found


@pytest.fixture
def url(single_server: Server) -> str:
    return single_server.http_address


def test_a_stream_has_the_replies_of_grpc(single_server: Server) -> None:
    frames = 6
    with open_stream(single_server.http_address, "?tasks=age,emotion&frame_rate=25&detection_interval=2") as socket:
        for image in [IMAGE] * frames:
            socket.send(image)
        socket.send(END)
        found = replies(socket)
    config = pb.StreamConfig(tasks=["age", "emotion"], detection_interval=2)
    requests = [pb.AnalyzeStreamRequest(config=config)] + [
        pb.AnalyzeStreamRequest(frame=pb.Frame(id=number, timestamp_ms=number * 40.0, image=IMAGE))
        for number in range(frames)
    ]
    with grpc.insecure_channel(single_server.address) as channel:
        stub = FaceAnalysisServiceStub(channel)
        expected = [as_dict(reply) for reply in stub.AnalyzeStream(iter(requests), timeout=60)]
    assert len(found) == frames + 1
    for reply in [*found, *expected]:
        reply.pop("timing", None)
    assert found == expected
    assert found[-1]["events"][0]["kind"] == "TRACK_EVENT_KIND_TRACK_ENDED"


def test_live_frames_have_rising_times_and_a_corrupt_one_costs_itself_alone(url: str) -> None:
    with open_stream(url) as socket:
        for image in (IMAGE, b"not an image", IMAGE):
            socket.send(image)
        socket.send(END)
        found = replies(socket)
    assert [bool(reply["status"]["code"]) for reply in found[:3]] == [False, True, False]
    times = [reply["timestamp_ms"] for reply in found[:3]]
    assert times == sorted(set(times))


def closed_with(socket: ClientConnection) -> tuple[str, int]:
    """Return the reason of the error, and the close code."""
    error = json.loads(socket.recv(timeout=20))["error"]
    with pytest.raises(ConnectionClosed):
        socket.recv(timeout=20)
    assert socket.close_code
    return error["details"][0]["reason"], socket.close_code


def test_text_is_refused(url: str) -> None:
    with open_stream(url) as socket:
        socket.send("text")
        assert closed_with(socket) == ("STREAM_MESSAGE_INVALID", 1003)


def test_a_frame_above_the_limit_is_refused(url: str) -> None:
    with open_stream(url) as socket:
        socket.send(bytes(5 * 2**20))
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=20)
        assert socket.close_code == 1009


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ("?tasks=nose", None, "TASK_UNKNOWN"),
        ("?max_faces=0", 400, "MAX_FACES_INVALID"),
        ("?frame_rate=fast", 400, "PARAMETER_INVALID"),
        ("?frame_rate=-5", 400, "PARAMETER_INVALID"),
        ("?detection_interval=2.5", 400, "PARAMETER_INVALID"),
        ("?drop_policy=all", 400, "STREAM_CONFIG_INVALID"),
        ("?detection_interval=101", 400, "STREAM_CONFIG_INVALID"),
        ("?smoothing_half_life_ms=10001", 400, "STREAM_CONFIG_INVALID"),
        ("?frame_rate=0", 400, "STREAM_CONFIG_INVALID"),
        ("?nose=1", 400, "PARAMETER_UNKNOWN"),
        ("?frame_rate=1&frame_rate=2", 400, "PARAMETER_REPEATED"),
        ("?token=secret", 400, "TOKEN_IN_URL"),
    ],
)
def test_an_invalid_option_is_refused(
    url: str, query: str, status: int | None, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    if status is None:  # what only the service knows
        with open_stream(url, query) as socket:
            assert closed_with(socket) == (reason, 1008)
        return
    with pytest.raises(InvalidStatus) as caught, open_stream(url, query):
        pass
    response = caught.value.response
    assert response.status_code == status
    assert json.loads(response.body or b"")["details"][0]["reason"] == reason
    assert "uvicorn.error" not in {record.name for record in caplog.records}


def test_a_request_without_a_websocket_handshake_gets_426(url: str) -> None:
    for body in (None, IMAGE):
        answer = fetch(url, "/v1/stream", body)
        assert (answer.status, answer.reason) == (426, "WEBSOCKET_REQUIRED")
        assert answer.headers["upgrade"] == "websocket"


def test_pages_of_other_sites_cannot_open_a_stream(url: str) -> None:
    with (
        pytest.raises(InvalidStatus) as caught,
        open_stream(url, additional_headers={"Origin": "https://evil.example"}),
    ):
        pass
    assert caught.value.response.status_code == 403
    lines = ["GET /v1/stream HTTP/1.1", "Host: evil.example", "Connection: Upgrade", "Upgrade: websocket"]
    lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]
    assert send_bytes(url, "\r\n".join([*lines, "", ""]).encode()).status == 421


def test_the_token_is_in_the_header_or_the_subprotocol(service: FaceAnalysis, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(token_line("browser", "first") + "\n")
    settings = Settings.load({"server.port": 0, "http.port": 0, "server.drain_s": 0, "auth.token_file": file})
    with running_server(service, settings) as server:
        url = server.http_address
        with pytest.raises(InvalidStatus) as caught, open_stream(url):
            pass
        assert caught.value.response.status_code == 401
        for options in (
            {"additional_headers": {"Authorization": "Bearer first"}},
            {"subprotocols": ["mien.v1", "bearer.first"]},
        ):
            with open_stream(url, **options) as socket:
                socket.send(END)
                assert len(replies(socket)) == 1


def in_flight(url: str) -> bool:
    return "mien_in_flight_requests 0.0" not in fetch(url, "/metrics").body.decode()


def test_a_client_that_leaves_ends_its_stream(url: str) -> None:
    with open_stream(url) as socket:
        socket.send(IMAGE)
        assert json.loads(socket.recv(timeout=20))["faces"]
        assert in_flight(url)
    wait_until(lambda: not in_flight(url), 20)


def send_many(socket: ClientConnection, count: int) -> None:
    for _ in range(count):
        socket.send(b"not an image")


def test_a_client_that_does_not_read_is_slowed_down_and_ended(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_stream, "STALLED_SECONDS", 0.5)
    with open_stream(url, max_queue=1) as socket:
        with pytest.raises(ConnectionClosed):
            send_many(socket, 1_000_000)  # the replies of some 10,000 fit into the buffers of both systems
        wait_until(lambda: not in_flight(url), 20)
    assert 'reason="STREAM_STALLED"' in fetch(url, "/metrics").body.decode()


@pytest.fixture(autouse=True)
def _others_are_answered(url: str) -> Iterator[None]:
    yield
    started = time.monotonic()
    assert fetch(url, "/v1/analyze", IMAGE).status == 200
    assert time.monotonic() - started < 10
