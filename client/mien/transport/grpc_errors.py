"""Convert gRPC errors to `MienError`s with advice, and decide which calls are retried."""

from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from mien.errors import ImageError, InvalidRequestError, MienError, OverloadedError, from_status
from mien.transport.connection import Connection

Detail = TypeVar("Detail", bound=Message)

_OTHER_NAME = "the server's certificate is for another name; check the address, or set Tls(server_name)"

_HTTP_PORT = "this is an HTTP port; use the server's gRPC port, 50051 by default"

_HINTS = (
    ("WRONG_VERSION_NUMBER", "the server does not use TLS; remove the option tls"),
    ("certificate has expired", "the server's certificate has expired; its operator must renew it"),
    ("certificate is not yet valid", "the server's certificate is not valid yet; check the clocks of both machines"),
    ("Hostname Verification", _OTHER_NAME),
    ("is not in peer certificate", _OTHER_NAME),  # as grpcio 1.76 words it
    (
        "CERTIFICATE_VERIFY_FAILED",
        "the server's certificate is signed by an unknown authority; pass the authority's file: Tls(ca)",
    ),
    # the statuses with which HTTP/1.1 servers refuse HTTP/2; 502 and 503 of a proxy are temporary
    *((f"http1.x server (HTTP status {status})", _HTTP_PORT) for status in (400, 404, 405, 505)),
)
"""Parts of gRPC's messages for errors that do not go away by themselves, with what to do."""

_ENDED = ("Socket closed", "Connection reset", "Broken pipe")
"""gRPC's messages for a connection closed by the peer, such as if only one side uses TLS."""

_SILENT = "before receiving SETTINGS frame"
"""Part of gRPC's message if the peer accepted the connection but did not start HTTP/2."""

_NOT_RESOLVED = ("DNS resolution failed", "errors resolving")
"""Prefixes of gRPC's messages for a name that cannot be resolved, in different versions of grpcio."""

_NOT_CONNECTED = ("connections to all backends failing", "failed to connect to all addresses", *_NOT_RESOLVED)
"""Prefixes of gRPC's messages for failed connections."""


def read_error(error: grpc.RpcError, connection: Connection, request_id: str) -> MienError:
    """Convert a gRPC error to a `MienError`.

    Args:
        error: The error of the call.
        connection: The connection of the call.
        request_id: The id that was sent; the server's `RequestInfo` takes precedence.

    """
    assert isinstance(error, grpc.Call | grpc.aio.AioRpcError)
    status = _status(error)
    known = _detail(status, error_details_pb2.RequestInfo()).request_id if status else ""
    mapped = _mapped(error, status, connection, known or request_id)
    mapped.request_id = known or request_id
    return mapped


def _code(error: grpc.Call | grpc.aio.AioRpcError) -> grpc.StatusCode:
    """Return the code of an error; UNAVAILABLE for a connection that was lost, whatever gRPC calls it."""
    code: grpc.StatusCode = error.code()
    if code is grpc.StatusCode.INTERNAL and (error.details() or "").startswith(_LOST_WHILE_SENDING):
        return grpc.StatusCode.UNAVAILABLE
    return code


def _mapped(
    error: grpc.Call | grpc.aio.AioRpcError, status: status_pb2.Status | None, connection: Connection, request_id: str
) -> MienError:
    code, text, server = _code(error), error.details() or "", connection.name
    if status and status.details:  # from a Mien server, with its own message
        reason = _detail(status, error_details_pb2.ErrorInfo()).reason
        if code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN):
            text += f" (request {request_id})"
        mapped = from_status(code.value[0], text, "" if reason == code.name else reason)
        if isinstance(mapped, OverloadedError):
            mapped.retry_after = _retry_after(status)
        return mapped
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            text = f"no server answers at {server} ({text}); {_hint(text, connection)}"
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            text = f"{server} did not answer in time; raise the timeout, or check whether the server is overloaded"
        case grpc.StatusCode.RESOURCE_EXHAUSTED if "larger than max" in text:
            return ImageError(
                f"the image exceeds the message limit of {server} ({text}); send a smaller one",
                reason="IMAGE_TOO_LARGE",
            )
        case grpc.StatusCode.RESOURCE_EXHAUSTED if "metadata size" in text:
            return InvalidRequestError(
                f"the metadata of the call is too long for {server} ({text}); send at most 8 KiB with all keys",
                reason="METADATA_TOO_LARGE",
            )
        case grpc.StatusCode.UNIMPLEMENTED:
            text = f"{server} does not implement this method ({text}); is it a Mien server of this version or later?"
        case grpc.StatusCode.CANCELLED:
            text = f"{server}, or a proxy in front of it, cancelled the call ({text}); retry"
        case _:
            text = f"{server} failed: {text or code.name}; see its log, or that of a proxy in front of it"
    return from_status(code.value[0], text)


def is_retryable(error: grpc.RpcError) -> bool:
    """Return whether a call is retried after an error; see `mien.transport.retries`.

    If the caller cancels, it gets `asyncio.CancelledError`; status CANCELLED is from the server or a proxy.
    """
    assert isinstance(error, grpc.Call | grpc.aio.AioRpcError)
    match _code(error):
        case grpc.StatusCode.UNAVAILABLE:
            return not any(sign in (error.details() or "") for sign, _ in _HINTS)  # these errors are permanent
        case grpc.StatusCode.CANCELLED:
            return True
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return advised_wait(error) is not None
    return False


def advised_wait(error: grpc.RpcError) -> float | None:
    """Return the retry delay of the server's `RetryInfo` in seconds, or None without one."""
    assert isinstance(error, grpc.Call | grpc.aio.AioRpcError)
    status = _status(error)
    return _retry_after(status) if status else None


_REFUSED = "RST_STREAM with error code 7"
"""Part of gRPC's message for REFUSED_STREAM."""

_LOST_WHILE_SENDING = "Internal error from Core"
"""Prefix of grpc.aio's message, with code INTERNAL, if the connection ends while a stream sends a message."""


def reached_server(error: grpc.RpcError) -> bool:
    """Return whether a call reached a server: False for a failed connection or a refused stream."""
    assert isinstance(error, grpc.Call | grpc.aio.AioRpcError)
    return not (error.details() or "").startswith(_NOT_CONNECTED) and not is_refused_stream(error)


def is_refused_stream(error: grpc.RpcError) -> bool:
    """Return whether the connection had its maximum of concurrent calls, so that the server did not start this one."""
    assert isinstance(error, grpc.Call | grpc.aio.AioRpcError)
    return _REFUSED in (error.details() or "")


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
    """Unpack the detail of the given type into `kind` and return it; unchanged if the status has none."""
    for detail in status.details:
        if detail.Unpack(kind):
            break
    return kind


def _hint(text: str, connection: Connection) -> str:
    if any(sign in text for sign in _ENDED):
        if connection.tls:
            return "the server closed the connection; if it requires client certificates, set Tls(certificate, key)"
        return "the server closed the connection; if it uses TLS, set tls=mien.Tls() (--tls)"
    if _SILENT in text and not connection.tls:
        return (
            "the server accepts connections but does not speak plain HTTP/2; if it uses TLS, set tls=mien.Tls() (--tls)"
        )
    known = next((hint for sign, hint in _HINTS if sign in text), None)
    proxy = connection.proxy
    if known is None and proxy:
        return (
            f"the call goes through the proxy {proxy.address} of the variable {proxy.variable}; "
            "unset it, or add the host to NO_PROXY, to call the server directly"
        )
    if text.startswith(_NOT_RESOLVED):
        return "the host's name cannot be resolved; check the address"
    return known or "is it running, and is the address right?"
