"""Convert NumPy arrays to messages and back."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import InvalidRequestError
from mien.worker.v1 import worker_pb2

_TYPES: dict[int, np.dtype[Any]] = {
    worker_pb2.Array.TYPE_UINT8: np.dtype("<u1"),
    worker_pb2.Array.TYPE_FLOAT32: np.dtype("<f4"),
}


def to_message(array: NDArray[np.uint8] | NDArray[np.float32]) -> worker_pb2.Array:
    """Convert an array of uint8 or float32, of any shape, to a message."""
    kind = worker_pb2.Array.TYPE_UINT8 if array.dtype == np.uint8 else worker_pb2.Array.TYPE_FLOAT32
    data = np.ascontiguousarray(array, _TYPES[kind])
    return worker_pb2.Array(type=kind, shape=data.shape, data=data.tobytes())


def from_message(message: worker_pb2.Array) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Return a message's array, read-only and without a copy; raises `InvalidRequestError` if it is invalid."""
    if message.type not in _TYPES:
        raise InvalidRequestError(f"array type {message.type} is not one of {sorted(_TYPES)}", reason="ARRAY_WRONG")
    dtype = _TYPES[message.type]
    if len(message.data) != math.prod(message.shape) * dtype.itemsize:
        raise InvalidRequestError(
            f"an array of shape {tuple(message.shape)} cannot have {len(message.data)} bytes", reason="ARRAY_WRONG"
        )
    return np.frombuffer(message.data, dtype).reshape(message.shape)
