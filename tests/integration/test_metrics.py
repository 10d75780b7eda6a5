"""Tests of Prometheus metrics over HTTP and of traces over OTLP."""

import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2
from prometheus_client import parser

import mien
from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceStub
from mien_models.spec import Task
from mien_orchestrator.build import make_executor, make_service
from mien_orchestrator.pipeline.backend import ModelCall, Prediction
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.settings import Settings
from mien_orchestrator.telemetry.metrics import make_metrics
from tests.backends import fanout
from tests.photographs import EXAMPLE
from tests.servers import Running, free_port, free_port_pair, run_server

ANALYZE = {"grpc_service": "mien.v1.FaceAnalysisService", "grpc_method": "Analyze", "grpc_type": "UNARY"}


def emotion_down(inner: ModelCall) -> ModelCall:
    """Return the call of real models with the emotion worker down."""

    async def call(tasks: Sequence[Task], crops: NDArray[np.uint8], deadline: float) -> Prediction:
        if "emotion" in tasks:
            raise mien.ServerUnavailableError("the emotion worker is down")
        return await inner(tasks, crops, deadline)

    return call


def read(port: int) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return every sample by its name and labels."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    families = parser.text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


@contextmanager
def metered_server(settings: dict[str, object] | None = None) -> Iterator[tuple[str, int]]:
    """A server with metrics, whose emotion task fails; yields its address and the metrics' port."""
    made = Settings.load(
        {"server.port": 0, "server.drain_s": 1, "telemetry.metrics_port": free_port(), **(settings or {})}
    )
    metrics = make_metrics(made)
    with make_executor(made) as seeing, make_executor(made) as computing:
        assert metrics
        backend = fanout(made, computing, lambda call: metrics.metered(emotion_down(call)))
        with run_server(make_service(made, backend, seeing, pb.DEPLOYMENT_MODE_SINGLE), made, metrics) as address:
            yield address, made.telemetry.metrics_port


def test_calls_tasks_and_model_calls_are_counted() -> None:
    with metered_server() as (address, port), mien.Client(address) as client:
        assert len(client.analyze(EXAMPLE).faces) == 1
        with pytest.raises(mien.ImageError):
            client.analyze(b"x")
        samples = read(port)

    def value(name: str, **labels: str) -> float:
        return samples[name, frozenset(labels.items())]

    assert value("grpc_server_started_total", **ANALYZE) == 2
    assert value("grpc_server_handled_total", **ANALYZE, grpc_code="OK") == 1
    assert value("grpc_server_handled_total", **ANALYZE, grpc_code="INVALID_ARGUMENT") == 1
    assert value("grpc_server_handling_seconds_count", **ANALYZE) == 2
    assert value("mien_task_latency_seconds_count", task="age", stage="total") == 1
    assert value("mien_task_latency_seconds_sum", task="age", stage="compute") > 0
    assert value("mien_task_failures_total", task="emotion", code="UNAVAILABLE") == 1
    assert value("mien_batch_size_sum", task="age") == 1
    assert value("mien_partial_responses_total") == 1
    assert value("mien_stage_latency_seconds_count", stage="decode") == 1
    assert value("mien_stage_latency_seconds_sum", stage="detect") > 0
    assert value("mien_refused_requests_total", reason="IMAGE_UNDECODABLE") == 1
    assert value("mien_faces_total", kind="answered") == 1
    answers = {labels for name, labels in samples if name == "mien_answers_total"}
    assert {dict(labels)["task"]: dict(labels)["value"] for labels in answers}["gender"] == "female"
    assert value("mien_task_available", task="age") == 1
    assert value("mien_in_flight_requests") == 0
    assert value("process_resident_memory_bytes") > 0


def test_unknown_methods_share_one_label() -> None:
    with metered_server() as (address, port), grpc.insecure_channel(address) as channel:
        for name in ("/a/b", "/mien.v1.FaceAnalysisService/Nose", "/a/b/c", "/"):
            with pytest.raises(grpc.RpcError):
                channel.unary_unary(name)(b"", timeout=10)
        samples = read(port)
    unknown = {"grpc_service": "unknown", "grpc_method": "unknown", "grpc_type": "UNARY"}
    assert samples["grpc_server_started_total", frozenset(unknown.items())] == 4
    started = [labels for name, labels in samples if name == "grpc_server_started_total"]
    assert started == [frozenset(unknown.items())]


def test_replicas_on_one_machine_use_consecutive_ports() -> None:
    settings = Settings.load({"telemetry.metrics_port": free_port_pair()})
    first, second = make_metrics(settings), make_metrics(settings)
    assert first
    assert second
    ports = range(settings.telemetry.metrics_port, settings.telemetry.metrics_port + 2)
    try:
        assert (first.serve("127.0.0.1", ports), second.serve("127.0.0.1", ports)) == tuple(ports)
        with pytest.raises(mien.ServerUnavailableError, match="metrics_port"):
            make_metrics(settings).serve("127.0.0.1", ports)  # type: ignore[union-attr]
    finally:
        first.stop()
        second.stop()


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """An OTLP collector that keeps what it gets."""

    def __init__(self) -> None:
        self.spans: list[trace_pb2.Span] = []

    def Export(  # noqa: N802
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        self.spans += [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


def test_a_trace_continues_the_clients_with_one_span_per_task() -> None:
    collector = Collector()
    with ThreadPoolExecutor(2) as pool:
        receiver = grpc.server(pool)
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, receiver)  # type: ignore[no-untyped-call]
        port = receiver.add_insecure_port("127.0.0.1:0")
        receiver.start()
        trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
        with (
            metered_server({"telemetry.otlp_endpoint": f"http://127.0.0.1:{port}"}) as (address, _),
            grpc.insecure_channel(address) as channel,
        ):
            request = pb.AnalyzeRequest(image=EXAMPLE.read_bytes())
            metadata = [("traceparent", f"00-{trace}-{parent}-01"), ("x-request-id", "mine-4")]
            FaceAnalysisServiceStub(channel).Analyze(request, timeout=30, metadata=metadata)
        receiver.stop(None).wait()
    spans = {span.name: span for span in collector.spans}
    call = spans["mien.v1.FaceAnalysisService/Analyze"]
    assert (call.trace_id.hex(), call.parent_span_id.hex()) == (trace, parent)
    attributes = {item.key: item.value for item in call.attributes}
    assert attributes["rpc.system"].string_value == "grpc"
    assert attributes["rpc.grpc.status_code"].int_value == 0
    assert attributes["mien.request_id"].string_value == "mine-4"
    assert spans.keys() == {call.name, "queue", "decode", "detect", "crop", "merge", "age", "gender", "emotion"}
    for name in ("age", "gender", "emotion"):
        span = spans[name]
        assert span.parent_span_id == call.span_id
        assert call.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        failed = span.status.code == trace_pb2.Status.STATUS_CODE_ERROR
        assert failed == (name == "emotion")


def test_opentelemetry_is_not_imported_while_disabled() -> None:
    code = "import mien_orchestrator.single, sys; print([n for n in sys.modules if n.startswith('opentelemetry')])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_server_without_a_metrics_port_has_no_metrics(running: Running, service: FaceAnalysis) -> None:
    settings = Settings.load({"server.port": 0, "server.drain_s": 0})
    assert make_metrics(settings) is None
    with running(service, settings) as address, mien.Client(address) as client:
        assert client.server_info().deployment_mode == "single"
