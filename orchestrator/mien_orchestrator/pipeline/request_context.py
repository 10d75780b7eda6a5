"""The context of a request, from the edge to the backend: id, caller, deadline, spans and cancellation."""

import re
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

from mien_orchestrator.pipeline.timing import SpanRecorder

REQUEST_ID = "x-request-id"
"""Metadata key in which a caller may set the request id, and in which the server returns it."""

MAX_SECONDS = 60.0
"""Longest time that a request may take, in seconds, whatever its caller allows."""

_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)


@dataclass(slots=True, eq=False)
class RequestContext:
    """The context of a request, passed from the edge to the backend."""

    method: str
    """Full gRPC method name, such as /mien.v1.FaceAnalysisService/Analyze."""
    request_id: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Text metadata of the call; of a repeated key, the last value."""
    protocol: Literal["grpc", "http"] = "grpc"
    """Protocol of the request."""
    caller: str = ""
    """Name of the caller's token; empty if the server accepts unauthenticated calls."""
    deadline: float = field(default_factory=lambda: time.monotonic() + MAX_SECONDS)
    """Deadline, on the clock of `time.monotonic` and of the event loop."""
    spans: SpanRecorder = field(default_factory=SpanRecorder)
    cancelled: threading.Event = field(default_factory=threading.Event)
    """Set if the request is cancelled; work for it stops before its next step."""
    reason: str = ""
    """Reason of a failed request, such as IMAGE_UNDECODABLE; otherwise empty."""
    began_ns: int = field(default_factory=time.time_ns)
    """Time of arrival, in nanoseconds since 1970."""

    @property
    def is_ours(self) -> bool:
        """Whether the method is one of Mien's, not one of gRPC's own services (health checks, reflection)."""
        return not self.method.startswith("/grpc.")

    @property
    def remaining(self) -> float:
        """Seconds until the deadline; negative after it."""
        return self.deadline - time.monotonic()

    def limit(self, seconds: float | None) -> None:
        """Set the deadline to `seconds` from now, and to `MAX_SECONDS` if that is None or longer."""
        self.deadline = time.monotonic() + (MAX_SECONDS if seconds is None else min(seconds, MAX_SECONDS))


_CURRENT: ContextVar[RequestContext | None] = ContextVar("mien_request", default=None)


def begin(
    method: str, metadata: Iterable[tuple[str, str | bytes]] = (), *, timeout: float | None = None
) -> RequestContext:
    """Create the context of a request and make it the current one of this asyncio task.

    Args:
        method: Full gRPC method name.
        metadata: Metadata of the call. A request id in it is kept if it is safe to log, otherwise one is generated.
        timeout: Seconds until the deadline; None for `MAX_SECONDS`.

    """
    texts = {key: value for key, value in metadata if isinstance(value, str)}
    given = texts.get(REQUEST_ID, "")
    context = RequestContext(method, given if _ID.fullmatch(given) else uuid.uuid4().hex, texts)
    context.limit(timeout)
    _CURRENT.set(context)
    return context


def current() -> RequestContext | None:
    """Return the context of the request that this asyncio task runs for."""
    return _CURRENT.get()
