"""Tests of error details, request ids, log lines, reflection, limits and draining."""

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import grpc
import numpy as np
import pytest
import yaml
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_status import rpc_status
from PIL import Image

import mien
from mien.transport.methods import ANALYZE
from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceStub
from mien_models.spec import Task
from mien_orchestrator.build import make_executor, make_inline_backend, make_service
from mien_orchestrator.edge.auth.tokens import token_line
from mien_orchestrator.pipeline.backend import Backend, Crops, Outcome
from mien_orchestrator.pipeline.request_context import RequestContext
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.settings import Settings
from tests.photographs import EXAMPLE
from tests.servers import Running, serve_command


def refused(stub: FaceAnalysisServiceStub, request: pb.AnalyzeRequest, **options: object) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Analyze(request, timeout=10, **options)  # type: ignore[arg-type]
    return caught.value


def detail(error: grpc.RpcError, kind: type[Message]) -> Message:
    """Return the detail of one kind that an error carries."""
    status, found = rpc_status.from_call(error), kind()  # type: ignore[arg-type]
    assert status is not None
    assert any(item.Unpack(found) for item in status.details), status
    return found


def trailing(call: object) -> dict[str, str | bytes]:
    return {item.key: item.value for item in call.trailing_metadata()}  # type: ignore[attr-defined]


@pytest.fixture
def stub(single: str) -> Iterator[FaceAnalysisServiceStub]:
    with grpc.insecure_channel(single) as channel:
        yield FaceAnalysisServiceStub(channel)


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"image": b"x"}, "image", "IMAGE_UNDECODABLE"),
        ({"image": b"x", "tasks": ["nose"]}, "tasks", "TASK_UNKNOWN"),
        ({"image": b"x", "failure_policy": 99}, "failure_policy", "FAILURE_POLICY_UNKNOWN"),
    ],
)
def test_an_invalid_field_is_in_the_error_details(
    stub: FaceAnalysisServiceStub, fields: dict[str, object], field: str, reason: str
) -> None:
    error = refused(stub, pb.AnalyzeRequest(**fields))  # type: ignore[arg-type]
    info, bad = detail(error, error_details_pb2.ErrorInfo), detail(error, error_details_pb2.BadRequest)
    assert (info.reason, info.domain) == (reason, "mien")  # type: ignore[attr-defined]
    (violation,) = bad.field_violations  # type: ignore[attr-defined]
    assert (violation.field, violation.reason) == (field, reason)


def test_an_unknown_method_has_error_info(single: str) -> None:
    with grpc.insecure_channel(single) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/mien.v1.FaceAnalysisService/Nose")(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]
    info = detail(caught.value, error_details_pb2.ErrorInfo)
    assert info.reason == "UNIMPLEMENTED"  # type: ignore[attr-defined]


def test_the_request_id_is_returned_or_generated(stub: FaceAnalysisServiceStub) -> None:
    def reported(*given: tuple[str, str]) -> str | bytes:
        _, call = stub.GetServerInfo.with_call(pb.GetServerInfoRequest(), timeout=10, metadata=given)
        return trailing(call)["x-request-id"]

    assert reported(("x-request-id", "mine-1")) == "mine-1"
    assert reported() != reported()
    assert " " not in str(reported(("x-request-id", "two words")))
    assert len(reported(("x-request-id", "long" * 99))) < 128


def test_an_error_has_the_request_id_in_details_and_metadata(stub: FaceAnalysisServiceStub) -> None:
    error = refused(stub, pb.AnalyzeRequest(), metadata=[("x-request-id", "mine-2")])
    assert trailing(error)["x-request-id"] == "mine-2"
    assert detail(error, error_details_pb2.RequestInfo).request_id == "mine-2"  # type: ignore[attr-defined]


REFLECTION = ("grpc.reflection.v1alpha.ServerReflection", "grpc.reflection.v1.ServerReflection")
"""The service's names in both versions, whose messages are the same on the wire."""


def services(address: str, reflection: str) -> set[str]:
    with grpc.insecure_channel(address) as channel:
        ask = channel.stream_stream(
            f"/{reflection}/ServerReflectionInfo",
            reflection_pb2.ServerReflectionRequest.SerializeToString,
            reflection_pb2.ServerReflectionResponse.FromString,
        )
        replies = ask(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=10)
        return {service.name for service in next(replies).list_services_response.service}


@pytest.mark.parametrize("reflection", REFLECTION)
def test_reflection_lists_the_services_unless_disabled(
    single: str, running: Running, service: FaceAnalysis, reflection: str
) -> None:
    assert services(single, reflection) == {"mien.v1.FaceAnalysisService", "grpc.health.v1.Health", REFLECTION[0]}
    with running(
        service, Settings.load({"server.port": 0, "server.drain_s": 0, "server.reflection": False})
    ) as address:
        with pytest.raises(grpc.RpcError) as caught:
            services(address, reflection)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_jpeg_of_12_mb_is_accepted(running: Running, service: FaceAnalysis) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3100, 3100, 3), np.uint8)
    buffer = BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=97)
    image = buffer.getvalue()
    assert 12_000_000 < len(image) < 20 * 2**20, len(image)
    with (
        running(service, Settings.load({"server.port": 0, "server.drain_s": 0})) as address,
        mien.Client(address) as client,
    ):
        assert client.analyze(image, timeout=60).image.width == 3100


class HeldBackend:
    """A real backend that answers only once it is let go."""

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self.started, self.go = threading.Event(), threading.Event()

    async def predict(self, crops: Crops, context: RequestContext) -> Mapping[Task, Outcome]:
        self.started.set()
        await asyncio.to_thread(self.go.wait, 30)
        return await self._inner.predict(crops, context)


def test_draining_reports_not_serving_and_finishes_calls_in_flight(running: Running) -> None:
    settings = Settings.load({"server.port": 0, "server.drain_s": 20})
    with make_executor(settings) as seeing, make_executor(settings) as computing, ThreadPoolExecutor(1) as pool:
        backend = HeldBackend(make_inline_backend(settings, computing))
        with running(make_service(settings, backend, seeing, pb.DEPLOYMENT_MODE_SINGLE), settings) as address:
            channel = grpc.insecure_channel(address)
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING

            def let_go_once_draining() -> None:
                assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
                watch.cancel()  # type: ignore[attr-defined]
                backend.go.set()

            client = mien.Client(address)
            answer = pool.submit(client.analyze, EXAMPLE)
            assert backend.started.wait(30)
            watching = threading.Thread(target=let_go_once_draining)
            watching.start()
        watching.join()
        assert [task.code for task in answer.result().tasks] == ["OK", "OK", "OK"]
        client.close()
        channel.close()


def unsent(channel: grpc.Channel) -> grpc.StatusCode:
    """Return the status of a call whose message is never sent."""
    sent = threading.Event()

    def messages() -> Iterator[bytes]:
        sent.wait(30)
        yield b""

    with pytest.raises(grpc.RpcError) as caught:
        channel.stream_unary(ANALYZE.path)(messages(), timeout=10)
    sent.set()
    return caught.value.code()  # type: ignore[attr-defined,no-any-return]


def test_overload_is_rejected_with_a_retry_delay(running: Running) -> None:
    settings = Settings.load({"server.port": 0, "server.drain_s": 5, "limits.max_concurrent_requests": 1})
    with make_executor(settings) as seeing, make_executor(settings) as computing, ThreadPoolExecutor(1) as pool:
        backend = HeldBackend(make_inline_backend(settings, computing))
        with (
            running(make_service(settings, backend, seeing, pb.DEPLOYMENT_MODE_SINGLE), settings) as address,
            mien.Client(address) as client,
            grpc.insecure_channel(address) as channel,
        ):
            first = pool.submit(client.analyze, EXAMPLE)
            assert backend.started.wait(30)
            error = refused(FaceAnalysisServiceStub(channel), pb.AnalyzeRequest(image=EXAMPLE.read_bytes()))
            unread = unsent(channel)
            backend.go.set()
            assert first.result().faces
    assert unread is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # type: ignore[attr-defined]
    assert "grpc-retry-pushback-ms" in trailing(error)


def test_json_log_lines_describe_calls_without_image_data(tmp_path: Path) -> None:
    tokens, log = tmp_path / "tokens", tmp_path / "log"
    tokens.write_text(token_line("phone", "secret-token") + "\n")
    settings = {
        "telemetry": {"log_format": "json", "log_level": "info"},
        "auth": {"token_file": str(tokens)},
    }
    config = tmp_path / "mien.yaml"
    config.write_text(yaml.safe_dump(settings))
    with serve_command(log, "--config", config) as (address, _):
        trace = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        metadata = [("authorization", "Bearer secret-token"), ("x-request-id", "mine-3"), trace]
        with grpc.insecure_channel(address) as channel:
            stub = FaceAnalysisServiceStub(channel)
            stub.Analyze(pb.AnalyzeRequest(image=EXAMPLE.read_bytes()), timeout=30, metadata=metadata)
            refused(stub, pb.AnalyzeRequest(image=b"not-an-image"), metadata=metadata)
            refused(stub, pb.AnalyzeRequest(image=b"not-an-image"))
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    calls = [line for line in lines if line["logger"] == "mien_orchestrator.telemetry.logs"]
    assert [line["code"] for line in calls] == ["OK", "INVALID_ARGUMENT", "UNAUTHENTICATED"]
    assert calls[0]["method"] == "/mien.v1.FaceAnalysisService/Analyze"
    assert (calls[0]["request_id"], calls[0]["caller"]) == ("mine-3", "phone")
    assert calls[0]["elapsed_ms"] > 0
    assert (calls[0]["faces"], calls[0]["trace_id"]) == (1, "4bf92f3577b34da6a3ce929d0e0e4736")
    assert [line.get("reason") for line in calls] == [None, "IMAGE_UNDECODABLE", "TOKEN_MISSING"]
    assert "caller" not in calls[2]
    assert "not-an-image" not in log.read_text()
    assert "secret-token" not in log.read_text()
