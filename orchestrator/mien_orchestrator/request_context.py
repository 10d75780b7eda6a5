"""The call under way: its id and who makes it, known to whatever runs for it, log lines included."""

import re
import time
import uuid
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

REQUEST_ID = "x-request-id"
"""Metadata in which a caller may name its request, and in which the server tells the id back."""

_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)


@dataclass(slots=True)
class Call:
    """One call."""

    method: str
    """As gRPC names it, such as /mien.v1.FaceAnalysisService/Analyze."""
    metadata: Mapping[str, str]
    """What the caller sent beside the message; of a name that came twice, the last value. No binary values."""
    request_id: str
    caller: str = ""
    """Name of the caller's token; empty where the server takes none."""
    began_ns: int = field(default_factory=time.time_ns)
    """When it arrived, in nanoseconds since 1970."""

    @property
    def of_ours(self) -> bool:
        """Whether it asks Mien, not gRPC's own services (health checks, reflection)."""
        return not self.method.startswith("/grpc.")


_CURRENT: ContextVar[Call | None] = ContextVar("mien_call", default=None)


def begin(method: str, metadata: Iterable[tuple[str, str | bytes]]) -> Call:
    """Make the call of this asyncio task; it gets an id of its own unless the caller named one that is safe to log."""
    texts = {key: value for key, value in metadata if isinstance(value, str)}
    named = texts.get(REQUEST_ID, "")
    call = Call(method, texts, named if _ID.fullmatch(named) else uuid.uuid4().hex)
    _CURRENT.set(call)
    return call


def current() -> Call | None:
    """Return the call that this asyncio task runs for."""
    return _CURRENT.get()
