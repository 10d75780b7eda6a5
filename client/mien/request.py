"""From what a caller has (a path, bytes, an RGB array) to a request."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.errors import ImageError, InvalidRequestError
from mien.v1 import face_service_pb2

ImageSource = str | Path | bytes | NDArray[np.uint8]
"""A path, an image file's bytes, or an (H, W, 3) uint8 RGB array."""


def analyze_request(
    image: ImageSource, *, tasks: Sequence[str] | None, max_faces: int, all_or_nothing: bool
) -> face_service_pb2.AnalyzeRequest:
    """Build the request of one analysis; raises `ImageError` where the image cannot be read from its source."""
    if isinstance(tasks, str):
        raise InvalidRequestError(f"tasks is a list of names; write [{tasks!r}]", reason="TASK_UNKNOWN")
    if max_faces < 0:
        raise InvalidRequestError("max_faces is 0 (the server's limit) or more", reason="OPTION_OUT_OF_RANGE")
    policy = (
        face_service_pb2.FAILURE_POLICY_ALL_OR_NOTHING if all_or_nothing else face_service_pb2.FAILURE_POLICY_PARTIAL
    )
    return face_service_pb2.AnalyzeRequest(
        image=image_bytes(image), tasks=tasks or (), max_faces=max_faces, failure_policy=policy
    )


def image_bytes(image: ImageSource) -> bytes:
    """Return an image file's bytes; an array is encoded as PNG, without loss."""
    match image:
        case bytes():
            return image
        case str() | Path():
            return _read(Path(image))
        case np.ndarray():
            return _encode(image)
    raise InvalidRequestError(f"an image is a path, bytes or an RGB array, not {type(image).__name__}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such file", reason="IMAGE_UNREADABLE") from error
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror or error}", reason="IMAGE_UNREADABLE") from error


def _encode(pixels: NDArray[np.uint8]) -> bytes:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ImageError(
            f"an image array is (H, W, 3) uint8 RGB, not {pixels.shape} {pixels.dtype}", reason="IMAGE_UNREADABLE"
        )
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
