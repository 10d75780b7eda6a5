"""The root of all errors of Mien, and the errors that loading and running models raise.

The whole tree is drawn in `mien.errors`, which re-exports these classes.
"""

from google.rpc import code_pb2


class MienError(Exception):
    """Base class of every error of Mien. The message states what went wrong and what to do about it."""

    code: int = code_pb2.UNKNOWN
    """Number of the `google.rpc.Code` that represents the error on the wire."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        """Create an error.

        Args:
            message: Text for people: lower case, names the input, says what is wrong and what to do.
            reason: Machine-readable reason, such as `IMAGE_UNDECODABLE`; empty if the code says enough.

        """
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.request_id = ""
        """Id of the request that failed, as the server logs it; empty if there was none."""


class InvalidRequestError(MienError):
    """A request that cannot succeed unless it is changed."""

    code = code_pb2.INVALID_ARGUMENT


class CropError(InvalidRequestError):
    """A stack of crops with a shape or type that the model does not take; the message states what it takes."""

    def __init__(self, message: str, *, reason: str = "CROPS_WRONG") -> None:
        super().__init__(message, reason=reason)


class ModelError(MienError):
    """A model that is unknown, does not serve the task, or has a missing, changed or invalid file."""

    code = code_pb2.FAILED_PRECONDITION


class DetectorError(MienError):
    """A detector that cannot be created with the given settings; the message states which setting to change."""

    code = code_pb2.FAILED_PRECONDITION
