"""HTTP responses: replies as proto3 JSON, errors as `google.rpc.Status` in JSON with the HTTP codes of AIP-193."""

import json
import math
from collections.abc import Mapping

from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2
from starlette.responses import Response

from mien.errors import InvalidRequestError, MienError
from mien.types.proto_json import as_dict
from mien_orchestrator.edge.status import rich_status
from mien_orchestrator.pipeline import request_context

HTTP_CODES: Mapping[int, int] = {
    code_pb2.CANCELLED: 499,
    code_pb2.UNKNOWN: 500,
    code_pb2.INVALID_ARGUMENT: 400,
    code_pb2.DEADLINE_EXCEEDED: 504,
    code_pb2.NOT_FOUND: 404,
    code_pb2.ALREADY_EXISTS: 409,
    code_pb2.PERMISSION_DENIED: 403,
    code_pb2.RESOURCE_EXHAUSTED: 429,
    code_pb2.FAILED_PRECONDITION: 400,
    code_pb2.ABORTED: 409,
    code_pb2.OUT_OF_RANGE: 400,
    code_pb2.UNIMPLEMENTED: 501,
    code_pb2.INTERNAL: 500,
    code_pb2.UNAVAILABLE: 503,
    code_pb2.DATA_LOSS: 500,
    code_pb2.UNAUTHENTICATED: 401,
}
"""HTTP status of each `google.rpc.Code`, as `google/rpc/code.proto` and AIP-193 state them."""

_JSON = "application/json"


class HttpRequestError(InvalidRequestError):
    """An invalid request with an HTTP status of its own, such as 404, 405, 413 or 415."""

    def __init__(
        self, message: str, *, reason: str, http_status: int, code: int = code_pb2.INVALID_ARGUMENT, **headers: str
    ) -> None:
        super().__init__(message, reason=reason)
        self.code = code
        self.http_status = http_status
        self.headers = headers


class JsonReply(Response):
    """A JSON response that is not cached, with the request id."""

    def __init__(self, content: object, status_code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        current = request_context.current()
        own = {"cache-control": "no-store"} | ({request_context.REQUEST_ID: current.request_id} if current else {})
        super().__init__(encoded(content), status_code, {**own, **(headers or {})}, _JSON)


def encoded(content: object) -> bytes:
    """Return JSON in UTF-8, with a line feed at its end."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def reply(message: Message) -> JsonReply:
    """Return a message as JSON, as `client --json` prints it."""
    return JsonReply(as_dict(message))


def error_reply(error: MienError) -> JsonReply:
    """Return an error as `google.rpc.Status`, with `Retry-After` if it has a retry delay."""
    status = rich_status(error)
    headers: dict[str, str] = {}
    retry = error_details_pb2.RetryInfo()
    if any(detail.Unpack(retry) for detail in status.details):
        headers["retry-after"] = str(max(1, math.ceil(retry.retry_delay.ToMilliseconds() / 1e3)))
    http_status = HTTP_CODES.get(error.code, 500)
    if http_status == 401:
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, HttpRequestError):
        http_status = error.http_status
        headers |= error.headers
    return JsonReply(as_dict(status), http_status, headers)
