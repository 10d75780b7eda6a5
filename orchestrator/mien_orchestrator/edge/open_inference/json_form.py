"""Parse and write inference requests over HTTP: JSON, with tensors in it or, by Triton's extension, after it."""

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mien.errors import InvalidRequestError
from mien_orchestrator.edge.open_inference.models import ModelDescription
from mien_orchestrator.edge.open_inference.tensors import (
    BYTES,
    Tensor,
    TensorSpec,
    from_items,
    from_raw,
    invalid,
    to_raw,
)

JSON_LENGTH = "inference-header-content-length"
"""Header with the length of the JSON if binary tensors follow."""


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A parsed request."""

    id: str
    inputs: Sequence[Tensor]
    wanted: Sequence[str]
    binary: Mapping[str, bool]
    """Whether each output is requested as bytes after the JSON."""
    binary_default: bool


def parse(body: bytes, json_length: str | None, model: ModelDescription) -> InferRequest:
    """Parse a request.

    Args:
        body: The body.
        json_length: The header `JSON_LENGTH`; None if the body is JSON alone.
        model: The model, with the expected input.

    Raises:
        InvalidRequestError: The request is invalid for this model.

    """
    if json_length is not None and not (json_length.isdecimal() and int(json_length) <= len(body)):
        raise _wrong("Inference-Header-Content-Length is not a length within the body")
    end = len(body) if json_length is None else int(json_length)
    try:
        content = json.loads(body[:end])
    except (ValueError, RecursionError) as error:
        raise _wrong("the body is not JSON") from error
    if not isinstance(content, dict):
        raise _wrong("the body is not an object")
    outputs = _objects(content.get("outputs", []), "outputs")
    wanted = [_text(output, "name") for output in outputs]
    binary = {
        name: bool(_parameters(output).get("binary_data"))
        for name, output in zip(wanted, outputs, strict=True)
        if "binary_data" in _parameters(output)
    }
    default = bool(_parameters(content).get("binary_data_output"))
    identity = content.get("id", "")
    return InferRequest(str(identity)[:128], _inputs(content, memoryview(body)[end:], model), wanted, binary, default)


def _inputs(content: Mapping[str, Any], tail: memoryview, model: ModelDescription) -> list[Tensor]:
    given = _objects(content.get("inputs"), "inputs")
    if [_text(each, "name") for each in given] != [model.input.name]:
        raise invalid(f"{model.name} requires exactly one input, {model.input.name}")
    (only,) = given
    shape = only.get("shape")
    if not isinstance(shape, list) or not all(isinstance(length, int) and 0 <= length < 2**31 for length in shape):
        raise invalid(f"the input {model.input.name} has no shape")
    model.input.check(_text(only, "datatype"), shape)
    size = _parameters(only).get("binary_data_size")
    if size is None:
        return [_from_data(only.get("data"), shape, model.input)]
    if not isinstance(size, int) or size != len(tail):
        raise invalid(f"binary_data_size of {model.input.name} is not the {len(tail):,} bytes after the JSON")
    return [from_raw(model.input, shape, bytes(tail))]


def _from_data(data: object, shape: Sequence[int], spec: TensorSpec) -> Tensor:
    if not isinstance(data, list):
        raise invalid(f"the input {spec.name} has neither data nor binary_data_size")
    items = list(_leaves(data))
    if spec.datatype == BYTES:
        try:
            return from_items(spec, shape, [base64.b64decode(item, validate=True) for item in items])
        except (TypeError, ValueError, binascii.Error) as error:
            raise invalid(f"the elements of {spec.name} must be base64 strings, or a binary tensor") from error
    if not all(type(item) in (int, bool) or (type(item) is float and item.is_integer()) for item in items):
        raise invalid(f"the input {spec.name} has an element that is not {spec.datatype}")
    return from_items(spec, shape, [int(item) for item in items])


def _leaves(data: list[Any]) -> list[Any]:
    """Return the elements of nested lists in row-major order."""
    while data and isinstance(data[0], list):
        if not all(isinstance(row, list) for row in data):
            raise invalid("the nested lists of data are not regular")
        data = [item for row in data for item in row]
    return data


def write(request: InferRequest, model: ModelDescription, outputs: Sequence[Tensor]) -> tuple[bytes, int | None]:
    """Return the body of a reply, and the length of its JSON if binary tensors follow it."""
    described: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for tensor in outputs:
        one: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if request.binary.get(tensor.name, request.binary_default):
            raw = to_raw(tensor)
            tail.append(raw)
            one["parameters"] = {"binary_data_size": len(raw)}
        else:
            one["data"] = [_json_value(item) for item in tensor.array.reshape(-1).tolist()]
        described.append(one)
    content = {"model_name": model.name, "model_version": model.version, "outputs": described}
    head = json.dumps(content | ({"id": request.id} if request.id else {}), separators=(",", ":")).encode()
    return b"".join([head, *tail]), len(head) if tail else None


def _json_value(item: object) -> object:
    if isinstance(item, bytes):
        return item.decode()
    return None if isinstance(item, float) and math.isnan(item) else item


def metadata(model: ModelDescription) -> dict[str, object]:
    """Return the metadata of a model."""

    def listed(specs: Sequence[TensorSpec]) -> list[dict[str, object]]:
        return [{"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)} for spec in specs]

    return {
        "name": model.name,
        "versions": [model.version],
        "platform": model.platform,
        "inputs": listed([model.input]),
        "outputs": listed(model.outputs),
    }


def _objects(value: object, name: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise _wrong(f"{name} is not a list of objects")
    return value


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str):
        raise _wrong(f"{name} is missing or not a string")
    return found


def _parameters(value: Mapping[str, Any]) -> Mapping[str, Any]:
    found = value.get("parameters", {})
    if not isinstance(found, dict):
        raise _wrong("parameters is not an object")
    return found


def _wrong(why: str) -> InvalidRequestError:
    return InvalidRequestError(f"the inference request is invalid: {why}", reason="INFERENCE_REQUEST_INVALID")
