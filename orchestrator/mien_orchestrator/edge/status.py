"""Convert errors to statuses with typed details, and to retry metadata."""

import logging
from datetime import timedelta

from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from mien.errors import InvalidRequestError, MienError, OverloadedError, ServerError
from mien_orchestrator.pipeline import request_context

_LOG = logging.getLogger(__name__)

_DOMAIN = "mien"

_FIELDS = {"TASK_UNKNOWN": "tasks", "MAX_FACES_INVALID": "max_faces", "FAILURE_POLICY_UNKNOWN": "failure_policy"}
"""The request field that a reason refers to."""

_PUSHBACK = "grpc-retry-pushback-ms"
"""Metadata key of gRPC's retries: milliseconds to wait, or -1 for no retry."""


def details_of(error: MienError) -> list[Message]:
    """Return the details of an error: always `ErrorInfo`, and others that apply."""
    reason = error.reason or code_pb2.Code.Name(error.code)
    found: list[Message] = [error_details_pb2.ErrorInfo(reason=reason, domain=_DOMAIN)]
    field = "image" if reason.startswith("IMAGE_") else _FIELDS.get(reason)
    if field and isinstance(error, InvalidRequestError):
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=error.message, reason=reason)
        found.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, OverloadedError) and error.retry_after is not None:
        advice = error_details_pb2.RetryInfo()
        advice.retry_delay.FromTimedelta(timedelta(seconds=error.retry_after))
        found.append(advice)
    current = request_context.current()
    if current:
        found.append(error_details_pb2.RequestInfo(request_id=current.request_id))
    return found


def metadata_of(status: status_pb2.Status) -> list[tuple[str, str]]:
    """Return the trailing metadata of a status: the request id, and the retry delay."""
    current = request_context.current()
    found = [(request_context.REQUEST_ID, current.request_id)] if current else []
    retry = error_details_pb2.RetryInfo()
    if any(detail.Unpack(retry) for detail in status.details):
        found.append((_PUSHBACK, str(retry.retry_delay.ToMilliseconds())))
    elif status.code == code_pb2.RESOURCE_EXHAUSTED:
        found.append((_PUSHBACK, "-1"))
    return found


def rich_status(error: MienError) -> status_pb2.Status:
    """Return an error as a `google.rpc.Status` with its details."""
    status = status_pb2.Status(code=error.code, message=error.message)
    for detail in details_of(error):
        status.details.add().Pack(detail)
    return status


def unexpected(method: str) -> ServerError:
    """Log the current exception, and return an error without details for the caller."""
    _LOG.exception("%s failed", method)
    return ServerError("the server failed; its log has the details")


def forget_frames(error: MienError) -> None:
    """Remove the traceback of an error that is about to be answered.

    The frames in it hold the request with its image. A task that failed with the error, or a call that gRPC aborts, is
    in one of these frames, so that only the garbage collector would free them.
    """
    error.__traceback__ = error.__cause__ = error.__context__ = None


def note_reason(error: MienError) -> None:
    """Record the reason of a failed request in its context."""
    current = request_context.current()
    if current:
        current.reason = error.reason or code_pb2.Code.Name(error.code)
