"""Replies as proto3 JSON: the same from the command `client` and from the server over HTTP.

The same values as `google.protobuf.json_format`, which takes more time per reply than all else that HTTP costs, in a
fraction of its time: each message type is looked up once.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import cache
from math import isfinite
from typing import Any

import numpy as np
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

_Write = Callable[[Any], Any]

_LONGS = {FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT64}
_LARGE = 3.4e38
"""Above, the shortest decimal may be larger than the largest 32-bit float, and is refused when it is read."""

_PLAIN = {
    FieldDescriptor.TYPE_BOOL,
    FieldDescriptor.TYPE_INT32,
    FieldDescriptor.TYPE_STRING,
    FieldDescriptor.TYPE_UINT32,
}


def as_dict(message: Message) -> dict[str, object]:
    """Return a message as proto3 JSON with the original field names; fields at their defaults are present."""
    made: dict[str, object] = _writer(message.DESCRIPTOR)(message)
    return made


@cache
def _writer(descriptor: Descriptor) -> _Write:
    """Return what writes messages of a type."""
    if descriptor.file.package.startswith("google."):
        return _by_library
    fields = [(field.name, field.has_presence, _field_writer(field)) for field in descriptor.fields]

    def write(message: Any) -> Any:
        return {
            name: value(getattr(message, name))
            for name, has_presence, value in fields
            if not has_presence or message.HasField(name)
        }

    return write


def _field_writer(field: FieldDescriptor) -> _Write:
    if field.message_type and field.message_type.GetOptions().map_entry:
        return _map_writer(_value_writer(field.message_type.fields_by_name["value"]))
    value = _value_writer(field)
    return (lambda items: [value(item) for item in items]) if field.is_repeated else value


def _map_writer(value: _Write) -> _Write:
    def write(items: Mapping[str, Any]) -> Any:
        return {key: value(items[key]) for key in items}

    return write


def _value_writer(field: FieldDescriptor) -> _Write:
    kind = field.type
    if kind == FieldDescriptor.TYPE_MESSAGE:
        nested = field.message_type
        return lambda message: _writer(nested)(message)  # looked up late: a message may contain its own type
    if kind == FieldDescriptor.TYPE_ENUM:
        assert field.enum_type
        names = {value.number: value.name for value in field.enum_type.values}
        return lambda number: names.get(number, number)
    if kind == FieldDescriptor.TYPE_FLOAT:
        return _float
    if kind == FieldDescriptor.TYPE_DOUBLE:
        return _double
    if kind in _LONGS:
        return str
    if kind == FieldDescriptor.TYPE_BYTES:
        return lambda value: b64encode(value).decode()
    if kind in _PLAIN:
        return lambda value: value
    raise TypeError(f"{field.full_name}: no reply has fields of this type")


def _float(value: float) -> object:
    """Return the shortest decimal that is the same 32-bit float."""
    return float(str(np.float32(value))) if abs(value) < _LARGE else _double(value)


def _double(value: float) -> object:
    """Return a number, or the string for NaN and infinity in proto3 JSON."""
    if isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _by_library(message: Message) -> Any:
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
