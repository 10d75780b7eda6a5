"""The parts of a server that gRPC and HTTP share."""

from collections.abc import Sequence
from dataclasses import dataclass

from mien_orchestrator.edge.handlers import Call, Stream
from mien_orchestrator.edge.tokens import Authentication
from mien_orchestrator.edge.uploads import UploadGate
from mien_orchestrator.telemetry.observer import Observer


@dataclass(frozen=True, slots=True)
class CallParts:
    """The parts of a server that its protocols share."""

    call: Call
    stream: Stream
    observers: Sequence[Observer]
    authentication: Authentication
    uploads: UploadGate
