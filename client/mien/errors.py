"""Everything that can go wrong, on both sides of the wire: an error knows its status, a status knows its error.

MienError
├── InvalidRequestError        INVALID_ARGUMENT: a task or an option is wrong
│   └── ImageError             ... the image is (reason IMAGE_EMPTY, IMAGE_UNDECODABLE, IMAGE_TOO_LARGE, ...)
├── AuthenticationError        UNAUTHENTICATED, PERMISSION_DENIED
├── OverloadedError            RESOURCE_EXHAUSTED: too much at once, or a message over the limit
├── DeadlineExceededError      DEADLINE_EXCEEDED: no answer in time
├── ServerUnavailableError     UNAVAILABLE: no server there, or none ready
├── EmbeddedUnavailableError   the packages for analyzing in this process are not installed
└── ServerError                anything else: the server failed
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


class AuthenticationError(MienError):
    """The server does not know the caller, or does not let it in."""

    code = code_pb2.UNAUTHENTICATED


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


class ServerUnavailableError(MienError):
    """No server at the address, or none that is ready."""

    code = code_pb2.UNAVAILABLE


class EmbeddedUnavailableError(MienError, ImportError):
    """The packages that analyze in this process are not installed."""

    code = code_pb2.FAILED_PRECONDITION


class ServerError(MienError):
    """The server failed; nothing that the caller could change."""

    code = code_pb2.INTERNAL


_BY_CODE: dict[int, type[MienError]] = {
    code_pb2.INVALID_ARGUMENT: InvalidRequestError,
    code_pb2.UNAUTHENTICATED: AuthenticationError,
    code_pb2.PERMISSION_DENIED: AuthenticationError,
    code_pb2.RESOURCE_EXHAUSTED: OverloadedError,
    code_pb2.DEADLINE_EXCEEDED: DeadlineExceededError,
    code_pb2.UNAVAILABLE: ServerUnavailableError,
}


def from_status(code: int, message: str, reason: str = "") -> MienError:
    """Return the error that a status (a `google.rpc.Code` number, a text, a reason) stands for."""
    kind = _BY_CODE.get(code, ServerError)
    if kind is InvalidRequestError and reason.startswith("IMAGE_"):
        kind = ImageError
    return kind(message, reason=reason)


def closed() -> MienError:
    """Return the error of a call on a client that is closed."""
    return MienError("this client is closed; make a new one", reason="CLIENT_CLOSED")
