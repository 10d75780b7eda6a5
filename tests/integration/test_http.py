"""Tests of HTTP/JSON: replies equal to those of gRPC, errors, deadlines, logs, metrics, and the description."""

import json
import logging
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from google.rpc import code_pb2

import mien
from mien.v1 import face_service_pb2 as pb
from mien_orchestrator.build import make_executor, make_inline_service
from mien_orchestrator.edge.http.openapi import openapi
from mien_orchestrator.edge.server import Server
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.settings import Settings
from tests.http_client import fetch, form, send_bytes
from tests.photographs import EXAMPLE
from tests.servers import READY, free_port, running_server, settings_with

IMAGE = EXAMPLE.read_bytes()


@pytest.fixture
def server(single_server: Server) -> Server:
    return single_server


@pytest.fixture
def url(server: Server) -> str:
    return server.http_address


def without_times(reply: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in reply.items() if name != "timing"}


def test_the_reply_is_that_of_grpc_as_the_command_prints_it(server: Server) -> None:
    answer = fetch(server.http_address, "/v1/analyze", IMAGE)
    command = [Path(sys.executable).parent / "client", "analyze", EXAMPLE, "--json", "--server", server.address]
    printed = json.loads(subprocess.check_output(command))
    del printed["source"]
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert without_times(answer.json) == without_times(printed)
    assert answer.json["timing"].keys() == printed["timing"].keys()


def test_a_form_and_a_body_have_the_same_reply(url: str) -> None:
    body, kind = form(("file", IMAGE))
    by_form = fetch(url, "/v1/analyze?tasks=age,gender&max_faces=1", body, content_type=kind)
    by_body = fetch(url, "/v1/analyze?max_faces=1&tasks=age&tasks=gender", IMAGE, content_type="image/jpeg")
    assert by_form.status == by_body.status == 200
    assert without_times(by_form.json) == without_times(by_body.json)
    assert [task["task"] for task in by_form.json["tasks"]] == ["age", "gender"]


def test_curl_with_data_binary_is_answered(url: str) -> None:
    """curl declares its body as a form, and waits for `100 Continue` before it sends a large one."""
    command = ["curl", "--silent", "--noproxy", "*", "--data-binary", "@-", f"{url}/v1/analyze"]
    reply = json.loads(subprocess.check_output(command, input=IMAGE + bytes(2 * 2**20)))
    assert len(reply["faces"]) == 1


def test_models_cards_and_the_server_equal_those_of_grpc(server: Server) -> None:
    url = server.http_address
    with mien.Client(server.address) as client:
        names = [model.name for model in client.models()]
        assert [model["name"] for model in fetch(url, "/v1/models").json["models"]] == names
        assert fetch(url, f"/v1/models/{names[0]}").json["markdown"] == client.model_card(names[0]).markdown
        assert fetch(url, "/v1/server").json["version"] == client.server_info().version
    missing = fetch(url, "/v1/models/nose")
    assert (missing.status, missing.error.code, missing.reason) == (404, code_pb2.NOT_FOUND, "MODEL_UNKNOWN")


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("tasks=nose", "TASK_UNKNOWN"),
        ("tasks=", "TASK_UNKNOWN"),
        ("tasks=" + "age," * 100 + "age", "TASK_UNKNOWN"),
        ("max_faces=0", "MAX_FACES_INVALID"),
        ("max_faces=-1", "MAX_FACES_INVALID"),
        ("max_faces=4294967296", "MAX_FACES_INVALID"),
        ("max_faces=1&max_faces=2", "PARAMETER_REPEATED"),
        ("max_face=1", "PARAMETER_UNKNOWN"),
        ("failure_policy=maybe", "FAILURE_POLICY_UNKNOWN"),
    ],
)
def test_an_invalid_option_is_named(url: str, query: str, reason: str) -> None:
    answer = fetch(url, f"/v1/analyze?{query}", IMAGE)
    assert (answer.status, answer.error.code, answer.reason) == (400, code_pb2.INVALID_ARGUMENT, reason)


def test_an_error_has_the_details_of_grpc(url: str) -> None:
    answer = fetch(url, "/v1/analyze", b"not an image", X_Request_Id="mine-7")
    kinds = [detail.TypeName() for detail in answer.error.details]
    assert answer.status == 400
    assert answer.headers["x-request-id"] == "mine-7"
    assert kinds == ["google.rpc.ErrorInfo", "google.rpc.BadRequest", "google.rpc.RequestInfo"]
    assert answer.reason == "IMAGE_UNDECODABLE"


@pytest.mark.parametrize(
    ("name", "value", "status", "reason"),
    [
        ("grpc_timeout", "1m", 504, "DEADLINE_EXCEEDED"),
        ("X_Request_Timeout", "0.001", 504, "DEADLINE_EXCEEDED"),
        ("grpc_timeout", "1", 400, "TIMEOUT_INVALID"),
        ("grpc_timeout", "0S", 400, "TIMEOUT_INVALID"),
        ("X_Request_Timeout", "soon", 400, "TIMEOUT_INVALID"),
        ("X_Request_Timeout", "nan", 400, "TIMEOUT_INVALID"),
    ],
)
def test_the_deadline_comes_from_a_header(url: str, name: str, value: str, status: int, reason: str) -> None:
    answer = fetch(url, "/v1/analyze", IMAGE, **{name: value})
    assert (answer.status, answer.reason) == (status, reason)


@contextmanager
def inline_server(settings: Settings) -> Iterator[Server]:
    """Serve with models of its own."""
    with make_executor(settings) as seeing, make_executor(settings) as computing:
        made = make_inline_service(settings, seeing, computing, pb.DEPLOYMENT_MODE_SINGLE)
        with running_server(made, settings) as started:
            yield started


def test_health_names_a_task(url: str) -> None:
    assert fetch(url, "/healthz").json == {"status": "ALIVE"}
    assert fetch(url, "/readyz?service=age").json == {"status": "SERVING"}
    assert fetch(url, "/readyz?service=nose").status == 404


def test_a_call_is_in_the_log_and_in_the_metrics(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "mien_orchestrator.telemetry.logs"):
        fetch(url, "/v1/analyze?max_faces=2", IMAGE, X_Request_Id="logged-1")
        fetch(url, "/v1/analyze", b"not an image")
    fields = [record.fields for record in caplog.records]  # type: ignore[attr-defined]
    assert [(line["method"], line["code"], line["protocol"]) for line in fields] == [
        ("/mien.v1.FaceAnalysisService/Analyze", "OK", "http"),
        ("/mien.v1.FaceAnalysisService/Analyze", "INVALID_ARGUMENT", "http"),
    ]
    assert fields[0]["faces"] == 1
    assert fields[1]["reason"] == "IMAGE_UNDECODABLE"
    assert "max_faces" not in caplog.text
    text = fetch(url, "/metrics").body.decode()
    assert 'mien_http_responses_total{route="/v1/analyze",status="200"}' in text
    assert 'mien_refused_requests_total{reason="IMAGE_UNDECODABLE"}' in text


def test_the_description_covers_every_route_and_reference(url: str) -> None:
    description = fetch(url, "/openapi.json").json
    assert description == json.loads(json.dumps(openapi(4 * 2**20)))
    schemas = description["components"]["schemas"]
    references = set(json.dumps(description).split('"#/components/schemas/')[1:])
    assert {reference.partition('"')[0] for reference in references} <= schemas.keys()
    reply = fetch(url, "/v1/analyze", IMAGE).json
    assert schemas["AnalyzeResponse"]["properties"].keys() == reply.keys()
    assert schemas["Face"]["properties"].keys() >= reply["faces"][0].keys()
    assert all(value["description"] for schema in schemas.values() for value in schema["properties"].values())
    assert {"101", "400", "426"} <= description["paths"]["/v1/stream"]["get"]["responses"].keys()
    page = fetch(url, "/docs").body.decode()
    assert all(path in page for path in description["paths"])
    assert "http://" not in page
    assert "https://" not in page.replace("https://mien.example", "")


def test_a_path_with_a_slash_at_its_end_is_refused_as_json(url: str) -> None:
    answer = fetch(url, "/v1/server/")
    assert (answer.status, answer.reason) == (404, "PATH_UNKNOWN")
    assert "remove the slash" in answer.error.message


def test_other_models_are_compared_if_the_settings_allow_it(url: str) -> None:
    path = "/v1/analyze?tasks=emotion&models=emotion:mini-xception-emotion"
    assert fetch(url, path, IMAGE).reason == "MODELS_FIXED"
    chosen = settings_with(tasks__emotion__model="mini-xception-emotion")
    with inline_server(settings_with(models__selectable=True)) as started, inline_server(chosen) as other:
        compared = fetch(started.http_address, path, IMAGE)
        expected = fetch(other.http_address, "/v1/analyze?tasks=emotion", IMAGE)
        assert without_times(compared.json) == without_times(expected.json)
        own = fetch(started.http_address, "/v1/analyze?tasks=emotion", IMAGE)
        assert own.json["tasks"][0]["model"]["name"] == "mien-emotion"
        for models, status, reason in (
            ("emotion:nose", 404, "MODEL_UNKNOWN"),
            ("emotion:ssrnet-age", 404, "MODEL_UNKNOWN"),
            ("nose:ssrnet-age", 400, "TASK_UNKNOWN"),
            ("emotion", 400, "MODELS_INVALID"),
        ):
            answer = fetch(started.http_address, f"/v1/analyze?models={models}", IMAGE)
            assert (answer.status, answer.reason) == (status, reason)


def test_http_is_off_unless_set(service: FaceAnalysis) -> None:
    with running_server(service, Settings.load({"server.port": 0, "server.drain_s": 0})) as started:
        assert started.http_address == ""


def test_a_taken_port_is_an_error_if_it_was_set(service: FaceAnalysis) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = settings_with(http__port=other.getsockname()[1])
        with (
            pytest.raises(mien.ServerUnavailableError, match=r"cannot listen for HTTP on .*http\.port"),
            running_server(service, settings),
        ):
            pass


def test_the_command_serves_http_at_a_port(tmp_path: Path) -> None:
    port = free_port()
    command = [Path(sys.executable).parent / "mien", "serve", "--inline", "--port", "0", "--http-port", str(port)]
    with (
        (tmp_path / "log").open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout
        try:
            assert process.stdout.readline().startswith(READY)
            assert process.stdout.readline() == f"{READY}http://127.0.0.1:{port}/\n"
            assert fetch(f"http://localhost:{port}", "/v1/analyze", IMAGE).status == 200
        finally:
            process.terminate()
        assert process.wait(60) == 0


def test_the_demo_serves_the_page_until_interrupted() -> None:
    command = [Path(sys.executable).parent / "client", "demo", "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            found = re.fullmatch(r"the page is at (http://127.0.0.1:\d+)/ until Ctrl-C\n", process.stdout.readline())
            assert found
            assert b"<title>Mien" in fetch(found[1], "/").body
            assert fetch(found[1], "/static/settings.json").json["compare_models"]
            assert fetch(found[1], "/v1/analyze", fetch(found[1], "/static/example.jpg").body).status == 200
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_the_pages_files_are_kept_by_browsers_and_checked(url: str) -> None:
    first = fetch(url, "/static/main.js")
    assert first.headers["content-type"].startswith("text/javascript")
    again = fetch(url, "/static/main.js", If_None_Match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    for path in ("/static/", "/static/main.py", "/static/../pages.py", "/static/index.html"):
        assert fetch(url, path).status == 404


def test_a_reply_does_not_wait_for_an_acknowledgement(url: str) -> None:
    """Nagle's algorithm and delayed acknowledgements would add 40 ms to every reply."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    seconds = []
    for _ in range(20):
        started = time.perf_counter()
        connection.request("POST", "/v1/analyze", b"not an image")
        assert connection.getresponse().read()
        seconds.append(time.perf_counter() - started)
    connection.close()
    assert min(seconds) < 0.035


def test_a_websocket_elsewhere_is_refused(url: str) -> None:
    lines = ["GET /v1/analyze HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: websocket"]
    sent = [*lines, "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "", ""]
    answer = send_bytes(url, "\r\n".join(sent).encode())
    assert (answer.status, answer.reason) == (404, "PATH_UNKNOWN")
    without_key = send_bytes(url, "\r\n".join([*lines, "", ""]).encode())
    assert (without_key.status, without_key.reason) == (400, "HTTP_INVALID")
    assert "Sec-WebSocket-Key" in without_key.error.message
