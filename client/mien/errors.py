"""Everything that can go wrong, on both sides of the wire: an error knows its status, a status knows its error.

MienError
├── InvalidRequestError        INVALID_ARGUMENT, OUT_OF_RANGE, FAILED_PRECONDITION, ALREADY_EXISTS: an option is wrong
│   ├── ImageError             ... the image is (reason IMAGE_EMPTY, IMAGE_UNDECODABLE, IMAGE_TOO_LARGE, ...)
│   └── NotFoundError          NOT_FOUND: what the request names is not there
├── AuthenticationError        UNAUTHENTICATED: the server does not know the caller
│   └── PermissionDeniedError  PERMISSION_DENIED: it does, but does not let it do this
├── OverloadedError            RESOURCE_EXHAUSTED: too much at once, or a message over the limit
├── DeadlineExceededError      DEADLINE_EXCEEDED: no answer in time
├── CallCancelledError         CANCELLED: the call was given up before its answer
├── ServerUnavailableError     UNAVAILABLE, ABORTED: no server there, or none ready
├── UnsupportedError           UNIMPLEMENTED: the server has no such call
├── EmbeddedUnavailableError   the packages for analyzing in this process are not installed
└── ServerError                INTERNAL, UNKNOWN, DATA_LOSS: the server failed
"""

from google.rpc import code_pb2


class MienError(Exception):
    """An error of Mien; its text says what happened and what to do."""

    code: int = code_pb2.UNKNOWN
    """Number of the `google.rpc.Code` that carries the error over the wire."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        """Machine-readable reason, such as IMAGE_UNDECODABLE; empty where the code says it all."""


class InvalidRequestError(MienError):
    """A request that can never succeed as it is."""

    code = code_pb2.INVALID_ARGUMENT


class ImageError(InvalidRequestError):
    """An image that cannot be read: empty, not an image, damaged or too large."""


class NotFoundError(InvalidRequestError):
    """The server has nothing of that name; the message names what it has."""

    code = code_pb2.NOT_FOUND


class AuthenticationError(MienError):
    """The server does not know the caller."""

    code = code_pb2.UNAUTHENTICATED


class PermissionDeniedError(AuthenticationError):
    """The server knows the caller, but does not let it do this."""

    code = code_pb2.PERMISSION_DENIED


class OverloadedError(MienError):
    """The server has too much to do, or the message is over its limit."""

    code = code_pb2.RESOURCE_EXHAUSTED

    def __init__(self, message: str, *, reason: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, reason=reason)
        self.retry_after = retry_after
        """Seconds after which it is worth trying again; None where the server did not say."""


class DeadlineExceededError(MienError):
    """No answer within the caller's time."""

    code = code_pb2.DEADLINE_EXCEEDED


class CallCancelledError(MienError):
    """The call was given up before its answer came."""

    code = code_pb2.CANCELLED


class ServerUnavailableError(MienError):
    """No server at the address, or none that is ready."""

    code = code_pb2.UNAVAILABLE


class UnsupportedError(MienError):
    """The server has no such call; it may be older than this package."""

    code = code_pb2.UNIMPLEMENTED


class EmbeddedUnavailableError(MienError, ImportError):
    """The packages that analyze in this process are not installed."""

    code = code_pb2.FAILED_PRECONDITION


class ServerError(MienError):
    """The server failed; nothing that the caller could change."""

    code = code_pb2.INTERNAL


_BY_CODE: dict[int, type[MienError]] = {
    code_pb2.CANCELLED: CallCancelledError,
    code_pb2.UNKNOWN: ServerError,
    code_pb2.INVALID_ARGUMENT: InvalidRequestError,
    code_pb2.DEADLINE_EXCEEDED: DeadlineExceededError,
    code_pb2.NOT_FOUND: NotFoundError,
    code_pb2.ALREADY_EXISTS: InvalidRequestError,
    code_pb2.PERMISSION_DENIED: PermissionDeniedError,
    code_pb2.RESOURCE_EXHAUSTED: OverloadedError,
    code_pb2.FAILED_PRECONDITION: InvalidRequestError,
    code_pb2.ABORTED: ServerUnavailableError,
    code_pb2.OUT_OF_RANGE: InvalidRequestError,
    code_pb2.UNIMPLEMENTED: UnsupportedError,
    code_pb2.INTERNAL: ServerError,
    code_pb2.UNAVAILABLE: ServerUnavailableError,
    code_pb2.DATA_LOSS: ServerError,
    code_pb2.UNAUTHENTICATED: AuthenticationError,
}


def from_status(code: int, message: str, reason: str = "") -> MienError:
    """Return the error that a status (a `google.rpc.Code` number, a text, a reason) stands for; it keeps the code."""
    kind = _BY_CODE.get(code, ServerError)
    if kind is InvalidRequestError and reason.startswith("IMAGE_"):
        kind = ImageError
    error = kind(message, reason=reason)
    error.code = code
    return error


def closed() -> MienError:
    """Return the error of a call on a client that is closed."""
    return MienError("this client is closed; make a new one", reason="CLIENT_CLOSED")
