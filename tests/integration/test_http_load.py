"""Tests of HTTP under load: leaving clients, overload, and draining."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from google.rpc import error_details_pb2

from mien.v1 import face_service_pb2 as pb
from mien_models.spec import Task
from mien_orchestrator.build import make_executor, make_inline_backend, make_service
from mien_orchestrator.edge.auth.tokens import token_line
from mien_orchestrator.edge.server import Server
from mien_orchestrator.pipeline.backend import Backend, Crops, Outcome
from mien_orchestrator.pipeline.request_context import RequestContext
from mien_orchestrator.telemetry.metrics import make_metrics
from tests.http_client import connect, fetch
from tests.photographs import EXAMPLE
from tests.servers import running_server, settings_with
from tests.waits import wait_until

IMAGE = EXAMPLE.read_bytes()


class HeldBackend:
    """A real backend that answers only once it is let go, and notes whether its call was cancelled."""

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self.started, self.go, self.cancelled = threading.Event(), threading.Event(), threading.Event()

    async def predict(self, crops: Crops, context: RequestContext) -> Mapping[Task, Outcome]:
        self.started.set()
        try:
            await asyncio.to_thread(self.go.wait, 30)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return await self._inner.predict(crops, context)


@contextmanager
def held_server(**changes: object) -> Iterator[tuple[Server, HeldBackend]]:
    settings = settings_with(**{"server__drain_s": 20, "limits__max_concurrent_requests": 1} | changes)
    with make_executor(settings) as seeing, make_executor(settings) as computing:
        backend = HeldBackend(make_inline_backend(settings, computing))
        made = make_service(settings, backend, seeing, pb.DEPLOYMENT_MODE_SINGLE)
        try:
            with running_server(made, settings, make_metrics(settings)) as started:
                yield started, backend
        finally:
            backend.go.set()


def post(image: bytes, *headers: str) -> bytes:
    lines = ["POST /v1/analyze HTTP/1.1", "Host: localhost", f"Content-Length: {len(image)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + image


def test_the_work_stops_when_the_client_leaves() -> None:
    with held_server() as (started, backend):
        with connect(started.http_address) as connection:
            connection.sendall(post(IMAGE))
            assert backend.started.wait(30)
        assert backend.cancelled.wait(10)

        def counted() -> bool:
            text = fetch(started.http_address, "/metrics").body.decode()
            return 'grpc_code="CANCELLED",grpc_method="Analyze"' in text and "mien_in_flight_requests 0.0" in text

        wait_until(counted, 10)


def test_overload_is_refused_with_retry_after() -> None:
    with ThreadPoolExecutor(1) as pool, held_server() as (started, backend):
        first = pool.submit(fetch, started.http_address, "/v1/analyze", IMAGE)
        assert backend.started.wait(30)
        refused = fetch(started.http_address, "/v1/analyze", IMAGE)
        backend.go.set()
        assert first.result().status == 200
    retry = error_details_pb2.RetryInfo()
    assert (refused.status, refused.reason) == (429, "SERVER_BUSY")
    assert any(detail.Unpack(retry) for detail in refused.error.details)
    assert int(refused.headers["retry-after"]) >= 1


def test_a_flood_of_one_token_does_not_refuse_another(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(token_line("a", "first") + "\n" + token_line("b", "second") + "\n")
    with (
        ThreadPoolExecutor(1) as pool,
        held_server(limits__max_concurrent_requests=8, auth__token_file=file, auth__max_concurrent_requests=1) as (
            started,
            backend,
        ),
    ):
        url = started.http_address
        first = pool.submit(fetch, url, "/v1/analyze", IMAGE, Authorization="Bearer first")
        assert backend.started.wait(30)
        refused = [fetch(url, "/v1/analyze", IMAGE, Authorization="Bearer first") for _ in range(5)]
        backend.go.set()
        assert fetch(url, "/v1/analyze", IMAGE, Authorization="Bearer second").status == 200
        assert first.result().status == 200
        text = fetch(url, "/metrics", Authorization="Bearer first").body.decode()
    assert {(answer.status, answer.reason) for answer in refused} == {(429, "CALLER_LIMIT")}
    assert 'mien_caller_requests_total{caller="a",code="RESOURCE_EXHAUSTED"} 5.0' in text


def test_draining_reports_503_and_finishes_calls_in_flight() -> None:
    with ThreadPoolExecutor(2) as pool:
        with held_server() as (started, backend):
            url = started.http_address
            first = pool.submit(fetch, url, "/v1/analyze", IMAGE)
            assert backend.started.wait(30)

            def let_go_once_draining() -> None:
                wait_until(lambda: fetch(url, "/readyz").status == 503, 10)
                backend.go.set()

            watching = pool.submit(let_go_once_draining)
        watching.result()
        assert first.result().status == 200
        with pytest.raises(ConnectionError):
            fetch(url, "/healthz")
