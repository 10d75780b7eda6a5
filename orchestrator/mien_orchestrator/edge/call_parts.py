"""The parts of a server that gRPC and HTTP share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mien_orchestrator.edge.auth.tokens import Authentication
from mien_orchestrator.edge.handlers import Call, Stream
from mien_orchestrator.edge.uploads import UploadGate
from mien_orchestrator.pipeline.request_context import RequestContext
from mien_orchestrator.telemetry.observer import Observer


@dataclass(frozen=True, slots=True)
class CallParts:
    """The parts of a server that its protocols share."""

    call: Call
    stream: Stream
    observers: Sequence[Observer]
    authentication: Authentication
    uploads: UploadGate
    check_load: Callable[[RequestContext], None]
    """Rejects a call before its message is read, by raising `MienError`."""
