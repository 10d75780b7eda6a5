"""What logs, metrics and traces have in common: they observe the start and the end of every call."""

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
    """From its arrival to its end."""
    reply: pb.AnalyzeResponse | None = None
    """What an analysis answered; None for other calls and for errors."""


class Observer(Protocol):
    """Is told of every call, on the server's event loop; must be quick, and must not raise."""

    def began(self, context: RequestContext) -> None:
        """Take note that a call has arrived."""

    def ended(self, context: RequestContext, end: End) -> None:
        """Take note of how it ended."""
