"""Prometheus metrics of one server process: calls, tasks and batch sizes."""

import errno
import logging
from collections.abc import Iterable, Sequence
from threading import Thread
from wsgiref.simple_server import WSGIServer

import numpy as np
from google.protobuf.descriptor import FileDescriptor
from google.rpc import code_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from numpy.typing import NDArray
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
    start_http_server,
)

from mien.errors import ServerUnavailableError
from mien.v1 import face_pb2
from mien.v1 import face_service_pb2 as pb
from mien_models.spec import Task
from mien_orchestrator.pipeline.backend import ModelCall, Outcome, Prediction
from mien_orchestrator.pipeline.request_context import RequestContext
from mien_orchestrator.pipeline.rollout.difference import Difference
from mien_orchestrator.pipeline.rollout.observer import Role
from mien_orchestrator.settings import Settings
from mien_orchestrator.telemetry.observer import End

_LOG = logging.getLogger(__name__)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_YEARS = (1, 2, 3, 5, 10, 20)
_CROPS = (1, 2, 4, 8, 16, 32, 64, 128)
_METHOD = ("grpc_type", "grpc_service", "grpc_method")

_MAX_CALLERS = 200
"""Callers with metrics of their own; JSON Web Tokens may bring any number of names."""

_UNKNOWN = ("UNARY", "unknown", "unknown")
"""Labels of unknown methods: their names come from clients, and each would create a time series."""


def _methods(*files: FileDescriptor) -> dict[str, tuple[str, str, str]]:
    """Return the labels of each method of the services in proto files, by its path."""
    kinds = {(False, False): "UNARY", (True, False): "CLIENT_STREAM", (False, True): "SERVER_STREAM"}
    return {
        f"/{service.full_name}/{method.name}": (
            kinds.get((method.client_streaming, method.server_streaming), "BIDI_STREAM"),
            service.full_name,
            method.name,
        )
        for file in files
        for service in file.services_by_name.values()
        for method in service.methods
    }


_INFERENCE = "inference.GRPCInferenceService"
_REFLECTION = "grpc.reflection.v1.ServerReflection"
_METHODS = _methods(pb.DESCRIPTOR, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR) | {
    f"/{_INFERENCE}/{name}": ("UNARY", _INFERENCE, name)
    for name in ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")
}
_METHODS[f"/{_REFLECTION}/ServerReflectionInfo"] = ("BIDI_STREAM", _REFLECTION, "ServerReflectionInfo")


class Metrics:
    """The metrics of one process, and the HTTP server that exposes them; see `Observer`."""

    def __init__(self) -> None:
        kept = self.registry = CollectorRegistry()
        ProcessCollector(registry=kept)
        self._started = Counter("grpc_server_started_total", "Calls that began.", _METHOD, registry=kept)
        self._handled = Counter(
            "grpc_server_handled_total", "Calls that ended.", (*_METHOD, "grpc_code"), registry=kept
        )
        self._seconds = Histogram(
            "grpc_server_handling_seconds", "Time from arrival to end.", _METHOD, buckets=_SECONDS, registry=kept
        )
        self._in_flight = Gauge("mien_in_flight_requests", "Calls to Mien in flight.", registry=kept)
        self._task_seconds = Histogram(
            "mien_task_latency_seconds",
            "Time of each task (stage total) and of its stages.",
            ("task", "stage"),
            buckets=_SECONDS,
            registry=kept,
        )
        self._task_failures = Counter(
            "mien_task_failures_total", "Tasks without answers.", ("task", "code"), registry=kept
        )
        self._batch_size = Histogram(
            "mien_batch_size", "Faces per model call.", ("task",), buckets=_CROPS, registry=kept
        )
        self._partial = Counter("mien_partial_responses_total", "Responses with failed tasks.", registry=kept)
        self._stage_seconds = Histogram(
            "mien_stage_latency_seconds",
            "Time of each stage of a request: queue, decode, detect, crop, tasks, merge.",
            ("stage",),
            buckets=_SECONDS,
            registry=kept,
        )
        self._refused = Counter(
            "mien_refused_requests_total", "Failed calls by the reason of their error.", ("reason",), registry=kept
        )
        self._faces = Counter(
            "mien_faces_total", "Faces found, and those that got no answers.", ("kind",), registry=kept
        )
        self._answers = Counter(
            "mien_answers_total",
            "Answers by task, model version and value, to see drift: decade, gender, emotion.",
            ("task", "version", "value"),
            registry=kept,
        )
        model = ("task", "model", "version", "role")
        self._model_requests = Counter(
            "mien_model_requests_total",
            "Requests by the model of a task, and what it is used for: stable, canary, shadow, named.",
            model,
            registry=kept,
        )
        self._model_errors = Counter(
            "mien_model_errors_total",
            "Requests that a model did not answer; the stable model answers those of a canary.",
            model,
            registry=kept,
        )
        self._model_seconds = Histogram(
            "mien_model_latency_seconds", "Time of a model's answers.", model, buckets=_SECONDS, registry=kept
        )
        self._shadow_faces = Counter(
            "mien_shadow_faces_total", "Faces that a shadow and the stable model answered.", model[:3], registry=kept
        )
        self._shadow_disagreements = Counter(
            "mien_shadow_disagreements_total",
            "Faces for which the label of a shadow differs from the stable model's.",
            model[:3],
            registry=kept,
        )
        self._shadow_years = Histogram(
            "mien_shadow_age_difference_years",
            "Absolute difference between the ages of a shadow and of the stable model.",
            model[1:3],
            buckets=_YEARS,
            registry=kept,
        )
        self._shadow_dropped = Counter(
            "mien_shadow_dropped_total", "Requests not compared, since the shadow was busy.", model[:3], registry=kept
        )
        self._available = Gauge(
            "mien_task_available", "1 if the task can be answered now, else 0.", ("task",), registry=kept
        )
        self._by_caller = Counter(
            "mien_caller_requests_total",
            f"Calls that ended, by caller: the first {_MAX_CALLERS} by name, the rest as other.",
            ("caller", "code"),
            registry=kept,
        )
        self._callers: set[str] = set()
        """Names of callers with a label of their own."""
        self._http_replies = Counter(
            "mien_http_responses_total", "HTTP responses, pages included.", ("route", "status"), registry=kept
        )
        self._http: tuple[WSGIServer, Thread] | None = None

    def began(self, context: RequestContext) -> None:
        """Count the start of a call."""
        self._started.labels(*_METHODS.get(context.method, _UNKNOWN)).inc()
        if context.is_ours:
            self._in_flight.inc()

    def ended(self, context: RequestContext, end: End) -> None:
        """Record the end of a call, and the tasks of its response."""
        labels = _METHODS.get(context.method, _UNKNOWN)
        if context.is_ours:
            self._in_flight.dec()
        self._handled.labels(*labels, end.code.name).inc()
        self._seconds.labels(*labels).observe(end.seconds)
        if context.caller:
            self._by_caller.labels(self._label_of(context.caller), end.code.name).inc()
        if context.reason:
            self._refused.labels(context.reason).inc()
        if end.reply:
            self._count_answers(end.reply)
            for step in end.reply.timing.total.children:
                self._stage_seconds.labels(step.name).observe(step.elapsed_ms / 1e3)
            failed = [result for result in end.reply.tasks if result.status.code != code_pb2.OK]
            for result in failed:
                self._task_failures.labels(result.task, code_pb2.Code.Name(result.status.code)).inc()
            if failed:
                self._partial.inc()
            for span in task_spans(end.reply.timing):
                self._task_seconds.labels(span.name, "total").observe(span.elapsed_ms / 1e3)
                for stage in span.children:
                    self._task_seconds.labels(span.name, stage.name).observe(stage.elapsed_ms / 1e3)

    def _label_of(self, caller: str) -> str:
        """Return a caller's name, or `other` once there are too many: each label value costs memory."""
        if len(self._callers) < _MAX_CALLERS:
            self._callers.add(caller)
        return caller if caller in self._callers else "other"

    def _count_answers(self, reply: pb.AnalyzeResponse) -> None:
        versions = {result.task: result.model.version for result in reply.tasks if result.HasField("model")}
        for face in reply.faces:
            self._faces.labels("abstained" if face.quality.abstained_reasons else "answered").inc()
            values = {}
            if face.HasField("age"):
                values["age"] = f"{int(face.age.years // 10 * 10)}s"
            if face.HasField("gender"):
                values["gender"] = face_pb2.GenderValue.Name(face.gender.value).removeprefix("GENDER_VALUE_").lower()
            if face.emotions:
                values["emotion"] = face.emotions[0].label
            for task, value in values.items():
                self._answers.labels(task, versions.get(task, ""), value).inc()

    def answered(self, task: Task, model: face_pb2.ModelInfo, role: Role, outcome: Outcome) -> None:
        """Count the answer or the error of a model; see `RolloutObserver`."""
        labels = (task, model.name, model.version, role)
        self._model_requests.labels(*labels).inc()
        if outcome.prediction:
            self._model_seconds.labels(*labels).observe(outcome.elapsed_ms / 1e3)
        else:
            self._model_errors.labels(*labels).inc()

    def compared(self, task: Task, shadow: face_pb2.ModelInfo, difference: Difference) -> None:
        """Count the faces of a comparison, and those that differ."""
        labels = (task, shadow.name, shadow.version)
        if difference.labels is not None:
            self._shadow_faces.labels(*labels).inc(len(difference.labels))
            self._shadow_disagreements.labels(*labels).inc(int(difference.labels.sum()))
        if difference.years is not None:
            self._shadow_faces.labels(*labels).inc(len(difference.years))
            for years in difference.years.tolist():
                self._shadow_years.labels(*labels[1:]).observe(years)

    def dropped(self, task: Task, shadow: face_pb2.ModelInfo) -> None:
        """Count a request that a shadow did not answer."""
        self._shadow_dropped.labels(task, shadow.name, shadow.version).inc()

    def set_available(self, task: Task, available: bool) -> None:
        """Record whether a task can be answered now."""
        self._available.labels(task).set(available)

    def count_http(self, route: str, status: int) -> None:
        """Count an HTTP response; `route` is the pattern of the path, since paths come from clients."""
        self._http_replies.labels(route, str(status)).inc()

    def text(self) -> tuple[bytes, str]:
        """Return the metrics in Prometheus' text format, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def metered(self, call: ModelCall) -> ModelCall:
        """Wrap a model call so that its number of faces is counted."""

        async def counted(tasks: Sequence[Task], crops: NDArray[np.uint8], deadline: float) -> Prediction:
            for task in tasks:
                self._batch_size.labels(task).observe(len(crops))
            return await call(tasks, crops, deadline)

        return counted

    def serve(self, host: str, ports: Iterable[int]) -> int:
        """Listen on the first free port and return it; raises `ServerUnavailableError` if all are in use."""
        for port in ports:
            try:
                self._http = start_http_server(port, host, self.registry)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise ServerUnavailableError(f"cannot serve metrics at {host}:{port}: {error.strerror}") from error
                continue
            _LOG.info("serving metrics at http://%s:%s/metrics", host, port)
            return port
        raise ServerUnavailableError("all ports for metrics are taken; set another telemetry.metrics_port")

    def stop(self) -> None:
        """Stop listening and wait until the server has stopped."""
        if self._http:
            server, thread = self._http
            server.shutdown()
            server.server_close()
            thread.join()


def make_metrics(settings: Settings, default_http_port: int | None = None) -> Metrics | None:
    """Return the metrics of this process, or None if no port serves them; see `Settings.http_port`."""
    served = settings.telemetry.metrics_port or settings.http_port(default_http_port) is not None
    return Metrics() if served else None


def task_spans(timing: face_pb2.Timing) -> list[face_pb2.Span]:
    """Return the span of each task."""
    return [span for step in timing.total.children if step.name == "tasks" for span in step.children]
