"""The base class of all errors of Mien, and the errors of loading and running models.

The whole tree is drawn in `mien.errors`, which re-exports these classes.
"""

from google.rpc import code_pb2


class MienError(Exception):
    """Base class of all errors of Mien. The message states the problem and the remedy."""

    code: int = code_pb2.UNKNOWN
    """Number of the `google.rpc.Code` that represents the error on the wire."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        """Create an error.

        Args:
            message: Lower-case text with the input, the problem and the remedy.
            reason: Machine-readable reason, such as `IMAGE_UNDECODABLE`; empty if the code is sufficient.

        """
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.request_id = ""
        """Id of the failed request, as in the server's log; empty if there was no request."""


class InvalidRequestError(MienError):
    """The request is invalid."""

    code = code_pb2.INVALID_ARGUMENT


class CropError(InvalidRequestError):
    """The shape or type of a stack of crops is not that of the model's input."""

    def __init__(self, message: str, *, reason: str = "CROPS_WRONG") -> None:
        super().__init__(message, reason=reason)


class ModelError(MienError):
    """The model is unknown, does not serve the task, or its file is missing, changed or invalid."""

    code = code_pb2.FAILED_PRECONDITION


class DetectorError(MienError):
    """The detector cannot be created with these settings."""

    code = code_pb2.FAILED_PRECONDITION
