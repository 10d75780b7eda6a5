"""Tests that replies are the same proto3 JSON as the library's."""

import struct

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from mien.transport.methods import METHODS, STREAMS
from mien.types.proto_json import as_dict
from mien.v1 import face_pb2


def by_library(message: Message) -> dict[str, object]:
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def filled(message: Message, depth: int = 0) -> Message:
    """Set every field of a message, with a value that is not the default."""
    for field in message.DESCRIPTOR.fields:
        if field.containing_oneof and field.containing_oneof.fields[0] is not field:
            continue
        nested, here = field.message_type, getattr(message, field.name)
        if nested and nested.GetOptions().map_entry:
            value = nested.fields_by_name["value"]
            if value.message_type:
                filled(here["key"], depth + 1)
            else:
                here["key"] = 0.1
        elif nested and depth < 6 and nested.file.package != "google.protobuf":
            filled(here.add() if field.is_repeated else here, depth + 1)
            if not field.is_repeated:
                here.SetInParent()
        elif not nested:
            simple = {
                FieldDescriptor.TYPE_STRING: "é",
                FieldDescriptor.TYPE_BOOL: True,
                FieldDescriptor.TYPE_BYTES: b"x",
                FieldDescriptor.TYPE_FLOAT: 0.1,
                FieldDescriptor.TYPE_DOUBLE: 0.1,
            }
            made = simple.get(field.type, 1)
            if field.is_repeated:
                here.append(made)
            else:
                setattr(message, field.name, made)
    return message


REPLIES = [method.response for method in (*METHODS, *STREAMS)]


@pytest.mark.parametrize("kind", REPLIES, ids=lambda kind: kind.__name__)
def test_every_reply_is_as_by_the_library(kind: type[Message]) -> None:
    for message in (kind(), filled(kind())):
        assert as_dict(message) == by_library(message)
        assert ParseDict(as_dict(message), kind()) == message


def test_an_unknown_value_of_an_enum_is_its_number() -> None:
    assert as_dict(face_pb2.Gender(value=99)) == by_library(face_pb2.Gender(value=99))  # type: ignore[arg-type]


@given(st.floats(width=32))
def test_32_bit_floats_are_the_shortest_that_read_back(value: float) -> None:
    message = face_pb2.Box(x=value)
    written = as_dict(message)["x"]
    again = ParseDict(as_dict(message), face_pb2.Box())
    assert struct.pack("f", again.x) == struct.pack("f", message.x) or value != value
    if 1e-30 < abs(value) < 1e30:  # the library is longer for others
        assert written == by_library(message)["x"]


@given(st.floats())
def test_64_bit_floats_are_unchanged(value: float) -> None:
    message = face_pb2.Span(start_ms=value)
    assert as_dict(message)["start_ms"] == by_library(message)["start_ms"]
