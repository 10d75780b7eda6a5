"""The exceptions of client and server: each class has a `google.rpc.Code`, and each code has a class.

MienError
├── InvalidRequestError        INVALID_ARGUMENT, OUT_OF_RANGE, FAILED_PRECONDITION, ALREADY_EXISTS: an invalid option
│   ├── ImageError             an invalid image (reason IMAGE_EMPTY, IMAGE_UNDECODABLE, IMAGE_TOO_LARGE, ...)
│   ├── CropError              a stack of crops that the model does not take (inside the cluster only)
│   └── NotFoundError          NOT_FOUND: the request names something that does not exist
├── AuthenticationError        UNAUTHENTICATED: missing or unknown credentials
├── PermissionDeniedError      PERMISSION_DENIED: known credentials without the right to do this
├── OverloadedError            RESOURCE_EXHAUSTED: too many requests, or a message over the limit
├── DeadlineExceededError      DEADLINE_EXCEEDED: no reply within the timeout
├── CallCancelledError         CANCELLED: the call was cancelled before its reply
├── ServerUnavailableError     UNAVAILABLE, ABORTED: no server at the address, or none that is ready
├── UnsupportedError           UNIMPLEMENTED: the server does not have this method
├── EmbeddedUnavailableError   the packages for analyzing in this process are not installed
├── FileError                  this machine cannot read or write a file: a full disk, too many open files
├── SettingsError              an invalid settings file or value
├── ModelError                 a model that is unknown, or a model file that is missing or invalid
├── DetectorError              a detector that cannot be created with its settings
└── ServerError                INTERNAL, UNKNOWN, DATA_LOSS: the server failed
"""

import errno

from google.rpc import code_pb2

from mien_models.errors import CropError, DetectorError, InvalidRequestError, MienError, ModelError

__all__ = [
    "MACHINE_ERRORS",
    "AuthenticationError",
    "CallCancelledError",
    "CropError",
    "DeadlineExceededError",
    "DetectorError",
    "EmbeddedUnavailableError",
    "FileError",
    "ImageError",
    "InvalidRequestError",
    "MienError",
    "ModelError",
    "NotFoundError",
    "OverloadedError",
    "PermissionDeniedError",
    "ServerError",
    "ServerUnavailableError",
    "SettingsError",
    "UnsupportedError",
    "closed",
    "forked",
    "from_status",
]


class ImageError(InvalidRequestError):
    """The image cannot be read: it is empty, not an image, damaged or too large."""


class NotFoundError(InvalidRequestError):
    """The requested item does not exist; the message lists the items that do."""

    code = code_pb2.NOT_FOUND


class AuthenticationError(MienError):
    """The credentials are missing or unknown."""

    code = code_pb2.UNAUTHENTICATED


class PermissionDeniedError(MienError):
    """The credentials do not permit this call."""

    code = code_pb2.PERMISSION_DENIED


class OverloadedError(MienError):
    """The server is overloaded, or the message exceeds its size limit."""

    code = code_pb2.RESOURCE_EXHAUSTED

    def __init__(self, message: str, *, reason: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, reason=reason)
        self.retry_after = retry_after
        """Seconds to wait before the next attempt, from the server's `RetryInfo`; None without one."""


class DeadlineExceededError(MienError):
    """There was no reply within the timeout."""

    code = code_pb2.DEADLINE_EXCEEDED


class CallCancelledError(MienError):
    """The call was cancelled before its reply."""

    code = code_pb2.CANCELLED


class ServerUnavailableError(MienError):
    """No server is reachable at the address, or none is ready."""

    code = code_pb2.UNAVAILABLE


class UnsupportedError(MienError):
    """The server does not implement this method; it may be older than this package."""

    code = code_pb2.UNIMPLEMENTED


class EmbeddedUnavailableError(MienError, ImportError):
    """The packages of local mode are not installed."""

    code = code_pb2.FAILED_PRECONDITION


class FileError(MienError):
    """A file cannot be read or written because of this machine's state, such as a full disk."""

    code = code_pb2.INTERNAL


MACHINE_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO}
)
"""`errno` values of an `OSError` that are reported as `FileError`; others are errors of the path."""


class SettingsError(MienError):
    """The settings file or a value in it is invalid."""

    code = code_pb2.FAILED_PRECONDITION


class ServerError(MienError):
    """The server failed for a reason that the request does not influence."""

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
    """Return the error for a status with a `google.rpc.Code`, a message and a reason; its `code` is that code."""
    kind = _BY_CODE.get(code, ServerError)
    if kind is InvalidRequestError and reason.startswith("IMAGE_"):
        kind = ImageError
    error = kind(message, reason=reason)
    error.code = code
    return error


def closed() -> MienError:
    """Return the error for a call on a closed client."""
    return MienError("this client is closed; create a new one", reason="CLIENT_CLOSED")


def forked() -> MienError:
    """Return the error for a call in a forked child on a client of its parent."""
    return MienError(
        "this client was created before the process forked; create a new one in this process", reason="FORKED"
    )
