"""From what a caller has (a path, bytes, an RGB array) to a request."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.errors import ImageError, InvalidRequestError
from mien.v1 import face_service_pb2

ImageSource = str | Path | bytes | bytearray | memoryview | NDArray[np.uint8]
"""A path, an image file's bytes, or an (H, W, 3) uint8 RGB array."""

LONGEST_TIMEOUT = 86_400
"""Seconds; a day."""


def analyze_request(
    image: ImageSource, *, tasks: Sequence[str] | None, max_faces: int, all_or_nothing: bool
) -> face_service_pb2.AnalyzeRequest:
    """Build the request of one analysis.

    Raises `ImageError` where the image cannot be read from its source, `InvalidRequestError` for another argument.
    """
    if not isinstance(max_faces, int) or not 0 <= max_faces < 2**32:
        raise InvalidRequestError(
            f"max_faces is a whole number, 0 for the server's limit, not {max_faces!r}", reason="OPTION_OUT_OF_RANGE"
        )
    policy = (
        face_service_pb2.FAILURE_POLICY_ALL_OR_NOTHING if all_or_nothing else face_service_pb2.FAILURE_POLICY_PARTIAL
    )
    return face_service_pb2.AnalyzeRequest(
        image=image_bytes(image), tasks=_task_names(tasks), max_faces=max_faces, failure_policy=policy
    )


def seconds(timeout: float | None, default: float) -> float:
    """Return the time that a call may take, in seconds; raises `InvalidRequestError` where it is not one."""
    if timeout is None:
        return default
    if not isinstance(timeout, int | float) or not 0 < timeout <= LONGEST_TIMEOUT:
        raise InvalidRequestError(
            f"a timeout is a number of seconds, more than 0 and at most {LONGEST_TIMEOUT}, not {timeout!r}",
            reason="OPTION_OUT_OF_RANGE",
        )
    return timeout


def model_name(name: str) -> str:
    """Return a model's name; raises `InvalidRequestError` where it is none that a message can carry."""
    if not isinstance(name, str) or not name.isprintable():
        raise InvalidRequestError(f"a model is named by text, such as 'mien-emotion', not {name!r}")
    return name


def image_bytes(image: ImageSource) -> bytes:
    """Return an image file's bytes; an array is encoded as PNG, without loss. Raises `ImageError`."""
    match image:
        case bytes() | bytearray() | memoryview():
            return bytes(image)
        case str() | Path():
            return _read(Path(image))
        case np.ndarray():
            return _encode(image)
    raise ImageError(
        f"an image is a path, bytes or an RGB array, not {type(image).__name__}", reason="IMAGE_UNREADABLE"
    )


def _task_names(tasks: Sequence[str] | None) -> Sequence[str]:
    if tasks is None:
        return ()
    if isinstance(tasks, str):
        raise InvalidRequestError(f"tasks is a list of names; write [{tasks!r}]", reason="TASK_UNKNOWN")
    if not isinstance(tasks, Sequence) or not all(isinstance(task, str) and task.isprintable() for task in tasks):
        raise InvalidRequestError("tasks is a list of names, such as ['age', 'gender']", reason="TASK_UNKNOWN")
    return tasks


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such file", reason="IMAGE_UNREADABLE") from error
    except (OSError, ValueError) as error:  # ValueError: a name that no file system can have
        said = (error.strerror if isinstance(error, OSError) else None) or error
        raise ImageError(f"{str(path)!r}: {said}", reason="IMAGE_UNREADABLE") from error


def _encode(pixels: NDArray[np.uint8]) -> bytes:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ImageError(
            f"an image array is (H, W, 3) uint8 RGB, not {pixels.shape} {pixels.dtype}", reason="IMAGE_UNREADABLE"
        )
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
