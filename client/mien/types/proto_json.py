"""Convert replies to proto3 JSON, for the command `client` and for HTTP."""

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message


def as_dict(message: Message) -> dict[str, object]:
    """Return a message as proto3 JSON with the original field names; fields at their defaults are present."""
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
