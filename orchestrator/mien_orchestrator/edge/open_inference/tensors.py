"""Tensors of the Open Inference Protocol: data types, encoding and validation."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import InvalidRequestError

DTYPES: Mapping[str, Any] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT32": np.uint32,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP32": np.float32,
}
"""NumPy types of the supported data types; BYTES are objects."""

BYTES = "BYTES"

_LENGTH = struct.Struct("<I")
_SHOWN = 80


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A named array; `BYTES` are an array of objects."""

    name: str
    datatype: str
    array: NDArray[Any]

    @property
    def shape(self) -> list[int]:
        """The shape, as a list."""
        return list(self.array.shape)


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, data type and shape of a tensor of a model; -1 is any length."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def check(self, datatype: str, shape: Sequence[int]) -> None:
        """Check a declared data type and shape; raises `InvalidRequestError`."""
        fits = len(shape) == len(self.shape) and all(
            length == wanted or (wanted == -1 and length >= 0)
            for length, wanted in zip(shape, self.shape, strict=False)
        )
        if datatype != self.datatype or not fits:
            raise invalid(
                f"the input {self.name} must be {self.datatype} of shape {list(self.shape)}, "
                f"not {datatype[:_SHOWN]} of shape {str(list(shape))[:_SHOWN]}"
            )


def invalid(message: str) -> InvalidRequestError:
    """Return the error of an invalid tensor."""
    return InvalidRequestError(message, reason="TENSOR_INVALID")


def from_raw(spec: TensorSpec, shape: Sequence[int], raw: bytes) -> Tensor:
    """Return a tensor from its bytes: little-endian numbers, or each element of BYTES after its length.

    Args:
        spec: The tensor, against which its declared shape was checked.
        shape: The shape.
        raw: The bytes.

    Raises:
        InvalidRequestError: The number of bytes does not match the shape.

    """
    if spec.datatype == BYTES:
        items = list(_items(spec.name, raw))
        return from_items(spec, shape, items)
    dtype = np.dtype(DTYPES[spec.datatype]).newbyteorder("<")
    wanted = prod(shape) * dtype.itemsize
    if len(raw) != wanted:
        raise invalid(f"the input {spec.name} has {len(raw):,} bytes; its shape needs {wanted:,}")
    return Tensor(spec.name, spec.datatype, np.frombuffer(raw, dtype).reshape(tuple(shape)))


def from_items(spec: TensorSpec, shape: Sequence[int], items: Sequence[Any]) -> Tensor:
    """Return a tensor from its elements in row-major order; raises `InvalidRequestError`."""
    if len(items) != prod(shape):
        raise invalid(f"the input {spec.name} has {len(items):,} elements; its shape needs {prod(shape):,}")
    if spec.datatype == BYTES:
        array = np.empty(len(items), object)
        array[:] = items
        return Tensor(spec.name, BYTES, array.reshape(tuple(shape)))
    try:
        flat = np.array(items, DTYPES[spec.datatype])
    except (TypeError, ValueError, OverflowError) as error:
        raise invalid(f"the input {spec.name} has an element that is not {spec.datatype}") from error
    return Tensor(spec.name, spec.datatype, flat.reshape(tuple(shape)))


def to_raw(tensor: Tensor) -> bytes:
    """Return the bytes of a tensor; see `from_raw`."""
    if tensor.datatype == BYTES:
        return b"".join(_LENGTH.pack(len(item)) + item for item in tensor.array.reshape(-1))
    array = tensor.array.astype(np.dtype(DTYPES[tensor.datatype]).newbyteorder("<"), copy=False)
    return bytes(array.tobytes())


def _items(name: str, raw: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(raw):
        if start + _LENGTH.size > len(raw):
            raise invalid(f"the input {name} ends in the middle of a length")
        (length,) = _LENGTH.unpack_from(raw, start)
        start += _LENGTH.size
        if start + length > len(raw):
            raise invalid(f"the input {name} ends in the middle of an element")
        yield raw[start : start + length]
        start += length
