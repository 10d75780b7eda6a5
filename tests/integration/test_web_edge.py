"""Tests of gRPC-Web, gRPC, HTTP/JSON and WebSockets through Envoy, as `deploy/k8s/components/web` configures it."""

import json
import struct
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from websockets.sync.client import connect

import mien
from mien.v1 import face_service_pb2 as pb
from mien_orchestrator.edge.server import Server
from tests.envoy import ORIGIN, envoy
from tests.http_client import fetch
from tests.photographs import EXAMPLE

METHOD = "/mien.v1.FaceAnalysisService/Analyze"
IMAGE = EXAMPLE.read_bytes()


@pytest.fixture(scope="module")
def edge(single_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of Envoy in front of a server in single mode."""
    folder = tmp_path_factory.mktemp("envoy")
    with envoy(single_server.address, single_server.http_address, folder) as url:
        yield url


def test_grpc_and_http_are_answered_on_one_port(edge: str, single: str) -> None:
    with mien.Client(single) as direct, mien.Client(urlsplit(edge).netloc) as through:
        expected = direct.analyze(EXAMPLE).faces
        assert through.analyze(EXAMPLE).faces == expected
    answer = fetch(edge, "/v1/analyze", IMAGE)
    assert answer.status == 200
    assert answer.json["faces"][0]["age"]["years"] == pytest.approx(expected[0].age.years if expected[0].age else None)


def test_an_error_passes_with_its_details(edge: str) -> None:
    with mien.Client(urlsplit(edge).netloc) as client, pytest.raises(mien.ImageError) as caught:
        client.analyze(b"not an image")
    assert caught.value.reason == "IMAGE_UNDECODABLE"
    assert fetch(edge, "/v1/analyze", b"not an image").reason == "IMAGE_UNDECODABLE"


def test_grpc_web_is_translated(edge: str) -> None:
    """As a browser sends it: HTTP/1.1, one frame with the message; the answer has the trailers in a frame."""
    message = pb.AnalyzeRequest(image=IMAGE, tasks=["age"]).SerializeToString()
    sent = struct.pack(">BI", 0, len(message)) + message
    answer = fetch(edge, METHOD, sent, content_type="application/grpc-web+proto", x_grpc_web="1", origin=ORIGIN)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    kind, length = struct.unpack(">BI", answer.body[:5])
    assert kind == 0
    assert pb.AnalyzeResponse.FromString(answer.body[5 : 5 + length]).faces[0].HasField("age")
    trailers = answer.body[5 + length :]
    assert trailers[0] == 0x80
    assert b"grpc-status:0" in trailers


@pytest.mark.parametrize(("origin", "allowed"), [(ORIGIN, True), ("https://evil.example", False)])
def test_pages_of_named_origins_may_call(edge: str, origin: str, allowed: bool) -> None:
    headers = {"access_control_request_method": "POST", "access_control_request_headers": "content-type,x-grpc-web"}
    answer = fetch(edge, METHOD, method="OPTIONS", origin=origin, **headers)
    assert (answer.headers.get("access-control-allow-origin") == origin) is allowed


def test_a_stream_passes_as_a_websocket(edge: str) -> None:
    with connect(f"{edge.replace('http', 'ws', 1)}/v1/stream", proxy=None, max_size=None) as stream:
        stream.send(IMAGE)
        assert json.loads(stream.recv(timeout=20))["faces"]
