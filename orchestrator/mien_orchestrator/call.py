"""The call under way: its id and who makes it, known to whatever runs for it, log lines included."""

import re
import uuid
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass

REQUEST_ID = "x-request-id"
"""Metadata in which a caller may name its request, and in which the server tells the id back."""

_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)


@dataclass(slots=True)
class Call:
    """One call."""

    method: str
    """As gRPC names it, such as /mien.v1.FaceAnalysisService/Analyze."""
    request_id: str
    caller: str = ""
    """Name of the caller's token; empty where the server takes none."""


_CURRENT: ContextVar[Call | None] = ContextVar("mien_call", default=None)


def begin(method: str, metadata: Iterable[tuple[str, str | bytes]]) -> Call:
    """Make the call of this asyncio task; it gets an id of its own unless the caller named one that is safe to log."""
    named = next((value for key, value in metadata if key == REQUEST_ID), "")
    known = isinstance(named, str) and _ID.fullmatch(named)
    call = Call(method, str(named) if known else uuid.uuid4().hex)
    _CURRENT.set(call)
    return call


def current() -> Call | None:
    """Return the call that this asyncio task runs for."""
    return _CURRENT.get()
