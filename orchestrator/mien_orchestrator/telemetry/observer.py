"""The observer interface of logs, metrics and traces: the start and end of every call."""

from dataclasses import dataclass
from typing import Protocol

import grpc

from mien.v1 import face_service_pb2 as pb
from mien_orchestrator.pipeline.request_context import RequestContext


@dataclass(slots=True)
class End:
    """How a call ended."""

    code: grpc.StatusCode = grpc.StatusCode.UNKNOWN
    seconds: float = 0
    """Duration of the call."""
    reply: pb.AnalyzeResponse | None = None
    """Response of an analysis; None for other calls and errors."""


class Observer(Protocol):
    """Called on the server's event loop for every call; must be fast and must not raise."""

    def began(self, context: RequestContext) -> None:
        """Handle the start of a call."""

    def ended(self, context: RequestContext, end: End) -> None:
        """Handle the end of a call."""
