"""Tests of invalid and hostile HTTP: each has a clear answer, memory stays bounded, neighbours are not affected."""

import base64
import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from google.rpc import code_pb2

from mien_orchestrator.edge.auth.tokens import token_line
from mien_orchestrator.edge.http import connection as http_connection
from mien_orchestrator.edge.server import Server
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.settings import Settings
from tests.http_client import connect, fetch, form, receive, send_bytes, zeros
from tests.photographs import EXAMPLE
from tests.servers import http_url, running_server, serve_command

IMAGE = EXAMPLE.read_bytes()
JSON_BODY = json.dumps({"image": base64.b64encode(IMAGE).decode()}).encode()

MIB = 2**20


@pytest.fixture
def url(single_server: Server) -> str:
    return single_server.http_address


def head(*lines: str, method: str = "POST", target: str = "/v1/analyze", version: str = "1.1") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/{version}", *lines, "", ""]).encode("latin-1")


@pytest.mark.parametrize(
    ("body", "kind", "status", "reason"),
    [
        (JSON_BODY, "application/json", 415, "CONTENT_TYPE_UNSUPPORTED"),
        (base64.b64encode(IMAGE), "text/plain", 415, "CONTENT_TYPE_UNSUPPORTED"),
        (IMAGE, "video/mp4", 415, "CONTENT_TYPE_UNSUPPORTED"),
        (IMAGE, "multipart/mixed; boundary=x", 415, "CONTENT_TYPE_UNSUPPORTED"),
        (IMAGE, "a" * 9000, 415, "CONTENT_TYPE_UNSUPPORTED"),
        (JSON_BODY, "application/octet-stream", 400, "IMAGE_UNDECODABLE"),
        (IMAGE, "multipart/form-data", 400, "FORM_INVALID"),
        (IMAGE, "multipart/form-data; boundary=x", 400, "FORM_INVALID"),
        (b"", "image/jpeg", 400, "IMAGE_EMPTY"),
        (b"", "multipart/form-data; boundary=x", 400, "IMAGE_EMPTY"),
    ],
)
def test_what_is_not_an_image_is_refused_with_a_reason(
    url: str, body: bytes, kind: str, status: int, reason: str
) -> None:
    answer = fetch(url, "/v1/analyze", body, content_type=kind)
    assert (answer.status, answer.reason, answer.error.code) == (status, reason, code_pb2.INVALID_ARGUMENT)
    assert len(answer.error.message) < 400


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([("file", IMAGE), ("file", IMAGE)], "FORM_HAS_SEVERAL_FILES"),
        ([("image", IMAGE)], "FORM_INVALID"),
        ([("file", IMAGE), ("tasks", b"age")], "FORM_INVALID"),
        ([], "FORM_INVALID"),
        ([("file", b"")], "IMAGE_EMPTY"),
        ([(f"a{number}", b"") for number in range(1000)], "FORM_INVALID"),
    ],
)
def test_a_form_has_one_file(url: str, files: list[tuple[str, bytes]], reason: str) -> None:
    body, kind = form(*files)
    answer = fetch(url, "/v1/analyze", body, content_type=kind)
    assert (answer.status, answer.reason) == (400, reason)


def test_a_form_that_ends_too_early_is_refused(url: str) -> None:
    body, kind = form(("file", IMAGE))
    for part in (body[:-10], body[:200], body[:20], body.replace(b"name=", b"nome=")):
        assert fetch(url, "/v1/analyze", part, content_type=kind).reason == "FORM_INVALID"


def test_a_form_may_quote_its_boundary_and_have_a_preamble(url: str) -> None:
    body, _ = form(("file", IMAGE), boundary="a b")
    answer = fetch(url, "/v1/analyze", b"preamble\r\n" + body, content_type='multipart/form-data; boundary="a b"')
    assert answer.status == 200


def test_a_compressed_body_is_refused(url: str) -> None:
    answer = fetch(url, "/v1/analyze", IMAGE, content_encoding="gzip")
    assert (answer.status, answer.reason) == (415, "CONTENT_ENCODING_UNSUPPORTED")


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
def test_an_upload_of_100_mb_is_cut_off_at_the_limit(tmp_path: Path, declared: bool) -> None:
    size = 100_000_000
    with serve_command(tmp_path / "log") as (_, process):
        url = http_url(process)
        assert fetch(url, "/v1/analyze", IMAGE).status == 200
        server = psutil.Process(process.pid)
        before = server.memory_info().rss
        length = {"content_length": str(size)} if declared else {}
        answer = fetch(url, "/v1/analyze", zeros(size), **length)
        assert (answer.status, answer.reason) == (413, "IMAGE_TOO_LARGE")
        assert "20,971,520 bytes" in answer.error.message
        grown = (server.memory_info().rss - before) / MIB
        assert grown < (8 if declared else 64), "the limit is 20 MiB, in at most three copies"
        assert fetch(url, "/v1/analyze", IMAGE).status == 200


def test_a_too_large_upload_is_refused_before_its_body(url: str) -> None:
    with connect(url) as connection:
        connection.sendall(head("Host: localhost", "Content-Length: 100000000", "Expect: 100-continue"))
        answer = receive(connection)
        assert (answer.status, answer.reason) == (413, "IMAGE_TOO_LARGE")
        connection.settimeout(5)
        assert connection.recv(1) == b""


def test_an_upload_has_the_time_of_its_deadline(url: str) -> None:
    with connect(url) as connection:
        connection.sendall(head("Host: localhost", "Content-Length: 1000", "X-Request-Timeout: 0.3") + bytes(10))
        answer = receive(connection)
    assert (answer.status, answer.reason) == (504, "DEADLINE_EXCEEDED")
    assert "upload" in answer.error.message


def test_a_silent_connection_is_closed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "REQUEST_SECONDS", 0.3)
    with connect(url) as silent, connect(url) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost:")
        assert silent.recv(1) == b""
        assert slow.recv(1) == b""
    with connect(url) as kept:
        kept.sendall(head("Host: localhost", method="GET", target="/healthz"))
        assert receive(kept).status == 200
        kept.settimeout(1)
        with pytest.raises(TimeoutError):
            kept.recv(1)
        kept.sendall(b"GET /hea")
        kept.settimeout(10)
        assert kept.recv(1) == b""


def test_stalled_uploads_delay_others_by_half_a_second(service: FaceAnalysis) -> None:
    settings = Settings.load(
        {"server.port": 0, "http.port": 0, "server.drain_s": 0, "limits.max_concurrent_bytes": 45 * MIB}
    )
    with running_server(service, settings) as server, ExitStack() as stack:
        url = server.http_address
        stalled = [stack.enter_context(connect(url)) for _ in range(6)]
        for connection in stalled:
            connection.sendall(head("Host: localhost", "Content-Length: 1000000") + bytes(1000))
        started = time.monotonic()
        assert fetch(url, "/v1/analyze", IMAGE).status == 200
        assert time.monotonic() - started < 5
        refused = receive(stalled[0])
        assert (refused.status, refused.reason) == (429, "UPLOAD_TOO_SLOW")
        assert refused.headers["retry-after"] == "1"


def test_http_1_0_is_answered_and_closed(url: str) -> None:
    answer = send_bytes(url, head(f"Content-Length: {len(IMAGE)}", version="1.0") + IMAGE)
    assert answer.status == 200
    assert answer.headers["connection"] == "close"
    assert len(answer.json["faces"]) == 1


@pytest.mark.parametrize(
    "sent",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(600) + b"\r\n\r\n",
        b"hello\r\n\r\n",
        head(method="GET"),
        head("Host: localhost", "Host: localhost", method="GET"),
        head("Host: localhost", "Content-Length: 1", "Content-Length: 2"),
        head("Host: localhost", "Content-Length: -1"),
        head("Host: localhost", "Content-Length: " + "9" * 9000),
        head("Host: localhost", "Transfer-Encoding: gzip"),
        head("Host: localhost", "Transfer-Encoding: chunked", "X : y"),
        head("Host: localhost", "X: a\x00b"),
    ],
)
def test_what_is_not_http_is_answered_with_an_error(url: str, sent: bytes) -> None:
    answer = send_bytes(url, sent)
    assert answer.status in {400, 413, 501, 505}
    assert answer.reason in {"HTTP_INVALID", "IMAGE_TOO_LARGE"}
    assert answer.headers["content-type"] == "application/json"


def test_endless_headers_are_refused(url: str) -> None:
    answer = send_bytes(url, b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X: " + b"a" * 100_000)
    assert (answer.status, answer.reason) == (431, "HTTP_INVALID")
    many = b"".join(b"X%d: a\r\n" % number for number in range(100_000))
    assert send_bytes(url, b"GET / HTTP/1.1\r\nHost: localhost\r\n" + many).status == 431


@pytest.mark.parametrize("lines", [["X: " + "a" * 16 * 1024], [f"X{number}: a" for number in range(4000)]])
def test_long_headers_in_one_part_are_refused(url: str, lines: list[str]) -> None:
    answer = send_bytes(url, head("Host: localhost", *lines))
    assert (answer.status, answer.reason) == (431, "HTTP_INVALID")


def test_an_invalid_chunk_ends_the_connection_without_a_traceback(url: str, caplog: pytest.LogCaptureFixture) -> None:
    sent = head("Host: localhost", "Transfer-Encoding: chunked")
    with connect(url) as connection:
        connection.sendall(sent + b"zz\r\n")
        assert connection.recv(9) in (b"", b"HTTP/1.1 ")
    assert caplog.text == ""


@pytest.mark.parametrize(
    "target",
    [
        "/../../etc/passwd",
        "/docs/../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/docs%00.css",
        "//etc/passwd",
        "/static/..\\..\\etc\\passwd",
        "/v1/models/..%2f..%2fetc%2fpasswd",
        "/v1/models/../../../etc/passwd",
        "/%c0%ae%c0%ae/etc/passwd",
        "file:///etc/passwd",
        "*",
    ],
)
def test_no_path_leads_to_a_file(url: str, target: str) -> None:
    answer = send_bytes(url, head("Host: localhost", method="GET", target=target))
    assert answer.status == 404
    assert answer.reason in {"PATH_UNKNOWN", "MODEL_UNKNOWN"}
    assert b"root:" not in answer.body


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("localhost:80@evil.example", 421),
        ("evil.example#localhost", 421),
        ("localhost/evil", 421),
        ("", 421),
        ("127.0.0.1.evil.example:8080", 421),
    ],
)
def test_a_loopback_server_has_loopback_names_only(url: str, host: str, status: int) -> None:
    answer = send_bytes(url, head(f"Host: {host}", method="GET", target="/v1/server"))
    assert answer.status == status
    assert status == 200 or answer.reason == "HOST_UNKNOWN"


def test_other_host_names_are_a_setting(service: FaceAnalysis) -> None:
    settings = Settings.load({"server.port": 0, "http.port": 0, "server.drain_s": 0, "http.hosts": ["mien.example"]})
    with running_server(service, settings) as server:
        for host, status in (("mien.example:80", 200), ("Mien.Example", 200), ("localhost", 421)):
            sent = head(f"Host: {host}", method="GET", target="/v1/server")
            assert send_bytes(server.http_address, sent).status == status
        probe = head("Host: 10.0.0.7:8081", method="GET", target="/readyz")  # as load balancers send it
        assert send_bytes(server.http_address, probe).status == 200


def test_forwarded_headers_are_not_trusted(url: str) -> None:
    answer = fetch(url, "/healthz", X_Forwarded_Host="evil.example", X_Forwarded_For="1.2.3.4", Forwarded="host=evil")
    assert answer.status == 200


@pytest.mark.parametrize("name", ["token", "access_token", "API_KEY"])
def test_a_token_in_the_url_is_refused_and_not_logged(
    service: FaceAnalysis, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "tokens"
    file.write_text(token_line("phone", "first-secret") + "\n")
    settings = Settings.load({"server.port": 0, "http.port": 0, "server.drain_s": 0, "auth.token_file": file})
    with caplog.at_level("DEBUG"), running_server(service, settings) as server:
        for authorization in ({}, {"Authorization": "Bearer first-secret"}):
            answer = fetch(server.http_address, f"/v1/analyze?{name}=first-secret", IMAGE, **authorization)
            assert (answer.status, answer.reason) == (400, "TOKEN_IN_URL")
            assert b"first-secret" not in answer.body
    assert "first-secret" not in caplog.text


def test_other_methods_are_refused_with_those_allowed(url: str) -> None:
    for method, path, allow in (("GET", "/v1/analyze", "POST"), ("DELETE", "/v1/models", "GET, HEAD")):
        answer = fetch(url, path, method=method)
        assert (answer.status, answer.reason) == (405, "METHOD_NOT_ALLOWED")
        assert sorted(answer.headers["allow"].split(", ")) == allow.split(", ")
    assert fetch(url, "/healthz", method="HEAD").body == b""


def test_requests_in_one_packet_are_answered_in_order(url: str) -> None:
    many = b"".join(head("Host: localhost", method="GET", target=path) for path in ("/healthz", "/nowhere") * 10)
    with connect(url) as connection:
        connection.sendall(many + head("Host: localhost", "Connection: close", method="GET", target="/healthz"))
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"404"] * 10 + [b"200"]


def test_a_crowd_of_connections_is_bounded(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "MAX_CONNECTIONS", 20)
    with ExitStack() as stack:
        crowd = [stack.enter_context(connect(url)) for _ in range(25)]
        busy = receive(crowd[-1])
        assert (busy.status, busy.reason) == (503, "SERVER_BUSY")
        crowd[0].sendall(head("Host: localhost", method="GET", target="/healthz"))
        assert receive(crowd[0]).status == 200


@pytest.fixture(autouse=True)
def _still_serves(url: str) -> Iterator[None]:
    """Whatever was sent, the next request is answered."""
    yield
    assert fetch(url, "/healthz").status == 200
