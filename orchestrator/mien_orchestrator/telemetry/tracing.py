"""OpenTelemetry traces over OTLP: one span per call, with child spans per step and task. Imported only if enabled."""

import grpc
from google.rpc import code_pb2
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mien.v1 import face_pb2
from mien.v1 import face_service_pb2 as pb
from mien.version import __version__
from mien_orchestrator.pipeline.request_context import RequestContext
from mien_orchestrator.telemetry.metrics import task_spans
from mien_orchestrator.telemetry.observer import End

_SERVERS_FAULT = {
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
}
"""Codes that mark a server span as an error, by OpenTelemetry's conventions for gRPC."""


class Traces:
    """Exports a trace of each call to a collector, in the background; see `Observer`.

    Spans are created at the end of a call, from the response's timing tree.
    """

    def __init__(self, endpoint: str) -> None:
        """`endpoint` is the collector's OTLP address for gRPC, such as http://localhost:4317."""
        resource = Resource.create({"service.name": "mien", "service.version": __version__})
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
        self._tracer = self._provider.get_tracer("mien", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def began(self, context: RequestContext) -> None:
        """Do nothing."""

    def ended(self, context: RequestContext, end: End) -> None:
        """Record the call's spans; probes have none."""
        if not context.is_ours:
            return
        service, _, method = context.method.removeprefix("/").partition("/")
        span = self._tracer.start_span(
            f"{service}/{method}",
            self._propagator.extract(context.metadata),
            SpanKind.SERVER,
            start_time=context.began_ns,
            attributes={
                "rpc.system": context.protocol,
                "rpc.service": service,
                "rpc.method": method,
                "rpc.grpc.status_code": end.code.value[0],
                "mien.request_id": context.request_id,
            },
        )
        if end.code in _SERVERS_FAULT:
            span.set_status(Status(StatusCode.ERROR, end.code.name))
        if end.reply:
            self._record_steps(end.reply, context.began_ns, set_span_in_context(span))
        span.end(context.began_ns + int(end.seconds * 1e9))

    def _record_steps(self, reply: pb.AnalyzeResponse, began_ns: int, parent: Context) -> None:
        for step in reply.timing.total.children:
            if step.name != "tasks":
                self._record(step, began_ns, parent, {})
        codes = {result.task: result.status.code for result in reply.tasks}
        for task in task_spans(reply.timing):
            stages = {f"mien.{stage.name}_ms": stage.elapsed_ms for stage in task.children}
            self._record(task, began_ns, parent, {"mien.task": task.name, **stages}, codes.get(task.name, 0))

    def _record(
        self, step: face_pb2.Span, began_ns: int, parent: Context, attributes: dict[str, str | float], code: int = 0
    ) -> None:
        start = began_ns + int(step.start_ms * 1e6)
        span = self._tracer.start_span(step.name, parent, start_time=start, attributes=attributes)
        if code:
            span.set_status(Status(StatusCode.ERROR, code_pb2.Code.Name(code)))
        span.end(start + int(step.elapsed_ms * 1e6))

    def stop(self) -> None:
        """Export the remaining spans; wait until that has completed or failed."""
        self._provider.shutdown()
