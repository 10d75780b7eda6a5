"""What a failed call means: the error that it stands for, what the caller can do, and when to try again."""

import random
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from mien.errors import ImageError, MienError, OverloadedError, from_status
from mien.transport.connection import Connection

Detail = TypeVar("Detail", bound=Message)

ATTEMPTS = 4
"""Calls made for one request whose refusals all say when to come again."""

_JITTER = 0.2
"""Part of the advised wait that is added at random, so that those refused together do not come again together."""

_HINTS = (
    ("WRONG_VERSION_NUMBER", "the server speaks no TLS; leave tls out"),
    ("certificate has expired", "the server's certificate has expired; whoever runs it must renew it"),
    ("certificate is not yet valid", "the server's certificate is not valid yet; is a clock wrong?"),
    ("Hostname Verification", "the server's certificate has another name; check the address, or set Tls(server_name)"),
    ("CERTIFICATE_VERIFY_FAILED", "an authority unknown here signed the server's certificate; name its file: Tls(ca)"),
)

_ENDED = ("Socket closed", "Connection reset", "Broken pipe")
"""What gRPC says where the other side ended the connection, as it does where one side speaks TLS and the other not."""


def read_error(error: grpc.RpcError, connection: Connection) -> MienError:
    """Turn what gRPC raised into the error that it stands for."""
    assert isinstance(error, grpc.Call | grpc.aio.AioRpcError)
    code, text, server = error.code(), error.details() or "", connection.name
    status = _status(error)
    if status and status.details:  # Mien itself says what happened and what to do
        reason = _detail(status, error_details_pb2.ErrorInfo()).reason
        if code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN):
            text += f" (request {_detail(status, error_details_pb2.RequestInfo()).request_id})"
        mapped = from_status(code.value[0], text, "" if reason == code.name else reason)
        if isinstance(mapped, OverloadedError):
            mapped.retry_after = _retry_after(status)
        return mapped
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            text = f"no server answers at {server} ({text}); {_hint(text, connection)}"
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            text = f"{server} gave no answer in time; raise the timeout, or see whether the server is overloaded"
        case grpc.StatusCode.RESOURCE_EXHAUSTED if "larger than max" in text:
            return ImageError(
                f"the image is larger than {server} takes ({text}); send a smaller one", reason="IMAGE_TOO_LARGE"
            )
        case grpc.StatusCode.UNIMPLEMENTED:
            text = f"{server} has no such call ({text}); is it a Mien server, and not older than this package?"
        case grpc.StatusCode.CANCELLED:
            text = "the call was cancelled before its answer; make it again where the answer is still wanted"
        case _:
            text = f"{server} failed: {text or code.name}; its log, or that of a proxy before it, says why"
    return from_status(code.value[0], text)


def advised_wait(error: grpc.RpcError, attempt: int, left: float) -> float | None:
    """Return the seconds after which to try again, None where that is not advised or the time left is too short.

    gRPC's own retries, which the channel does, take every RESOURCE_EXHAUSTED or none: a message over the limit too.
    Here only one counts that carries `RetryInfo`.
    """
    assert isinstance(error, grpc.Call | grpc.aio.AioRpcError)
    if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED or attempt >= ATTEMPTS:
        return None
    status = _status(error)
    advised = _retry_after(status) if status else None
    if advised is None:
        return None
    wait = advised * (1 + _JITTER * random.random())
    return wait if wait < left else None


def _retry_after(status: status_pb2.Status) -> float | None:
    advice = error_details_pb2.RetryInfo()
    if not any(detail.Unpack(advice) for detail in status.details):
        return None
    return float(advice.retry_delay.ToTimedelta().total_seconds())


def _status(error: grpc.Call | grpc.aio.AioRpcError) -> status_pb2.Status | None:
    try:
        return rpc_status.from_call(error)  # type: ignore[arg-type]  # an AioRpcError has what it reads of a Call
    except (ValueError, DecodeError):  # a proxy changed the code or the text, but not the details
        return None


def _detail(status: status_pb2.Status, kind: Detail) -> Detail:
    """Return the detail of one kind, an empty one where there is none."""
    for detail in status.details:
        if detail.Unpack(kind):
            break
    return kind


def _hint(text: str, connection: Connection) -> str:
    if any(sign in text for sign in _ENDED):
        if connection.tls:
            return "the server ended the connection; if it wants a caller's certificate, set Tls(certificate, key)"
        return "the server ended the connection; if it speaks TLS, set tls=mien.Tls() (--tls)"
    return next((hint for sign, hint in _HINTS if sign in text), "is it running, and is the address right?")
