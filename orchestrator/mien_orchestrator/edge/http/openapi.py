"""The description of the HTTP interface (OpenAPI 3.1), generated from the messages and their comments."""

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.rpc import status_pb2

from mien.v1 import face_service_pb2 as pb
from mien.version import __version__
from mien.video.options import DROP_POLICIES, MAX_DETECTION_INTERVAL, MAX_FRAME_RATE, MAX_HALF_LIFE_MS
from mien_orchestrator.edge.http.multipart import FIELD
from mien_orchestrator.edge.http.proto_comments import comments

Json = dict[str, Any]

_SCALARS: Mapping[int, Json] = {
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.TYPE_INT64: {"type": "string", "format": "int64"},
    FieldDescriptor.TYPE_UINT64: {"type": "string", "format": "uint64"},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_UINT32: {"type": "integer", "format": "uint32"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
}
"""JSON of each scalar type in proto3 JSON; 64-bit numbers are strings there."""

_ERRORS: Mapping[str, str] = {
    "400": "The image or an option is invalid; see `ErrorInfo.reason`.",
    "401": "The token is missing or unknown.",
    "404": "The model or path does not exist.",
    "413": "The image is larger than the server's limit; it was not read.",
    "415": "The body is not the bytes of an image, nor a form with one.",
    "426": "The request is not a WebSocket handshake.",
    "429": "Too many images at once; `Retry-After` has the seconds to wait.",
    "500": "The server failed; its log has the details under the request id.",
    "503": "The server does not serve now; a retry is safe.",
    "504": "No reply before the deadline; a retry is safe.",
}


def openapi(max_image_bytes: int) -> Json:
    """Return the description of a server that takes images of at most `max_image_bytes`."""
    schemas: Json = {"Error": _error_schema()}
    for message in (
        pb.AnalyzeResponse,
        pb.AnalyzeStreamResponse,
        pb.ListModelsResponse,
        pb.GetModelCardResponse,
        pb.GetServerInfoResponse,
    ):
        _add(message.DESCRIPTOR, schemas, comments())
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Mien",
            "version": __version__,
            "description": "Estimates age, gender, emotion and mood of the faces in images. Images stay in memory. "
            "An answer describes how a face looks in a picture, not who a person is or what they feel.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": _paths(max_image_bytes),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _paths(max_image_bytes: int) -> Json:
    return {
        "/v1/analyze": {
            "post": {
                "operationId": "analyze",
                "summary": "Analyze one image. No face is not an error: the list is empty.",
                "parameters": [*_ANALYZE_PARAMETERS, *_HEADERS],
                "requestBody": {
                    "required": True,
                    "description": f"The image file, of at most {max_image_bytes:,} bytes. Its content is sniffed.",
                    "content": {
                        "image/*": {"schema": {"type": "string", "contentMediaType": "image/*"}},
                        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                        "multipart/form-data": {
                            "schema": {
                                "type": "object",
                                "required": [FIELD],
                                "properties": {FIELD: {"type": "string", "contentMediaType": "image/*"}},
                            }
                        },
                    },
                },
                "responses": _responses("AnalyzeResponse", ("400", "401", "413", "415", "429", "500", "503", "504")),
            }
        },
        "/v1/stream": _stream(),
        "/v1/models": _get("models", "List the models, those in use first.", "ListModelsResponse", ("401",)),
        "/v1/models/{name}": _get(
            "model",
            "Return a model and its card.",
            "GetModelCardResponse",
            ("401", "404"),
            [_parameter("name", "path", "Name of the model.", {"type": "string"}, required=True)],
        ),
        "/v1/server": _get(
            "server", "Return the server's version, tasks, formats and limits.", "GetServerInfoResponse", ("401",)
        ),
        "/healthz": _get("live", "Return 200 while the process answers.", None, ()),
        "/readyz": _get(
            "ready",
            "Return 200 if the server, or one task, can be called now.",
            None,
            ("404", "503"),
            [_parameter("service", "query", "A task. Default: the server.", {"type": "string"})],
        ),
        "/metrics": _get("metrics", "Return the metrics of the process, for Prometheus.", None, ("401",)),
    }


def _parameter(name: str, place: str, description: str, schema: Json, *, required: bool = False) -> Json:
    return {"name": name, "in": place, "description": description, "schema": schema, "required": required}


_ANALYZE_PARAMETERS = [
    _parameter(
        "tasks",
        "query",
        "Tasks to run, separated by commas: age, gender, emotion. Default: all.",
        {"type": "string"},
    ),
    _parameter("max_faces", "query", "Return at most this many faces, the largest.", {"type": "integer", "minimum": 1}),
    _parameter(
        "failure_policy",
        "query",
        "What happens if a task fails: the others are returned, or the request fails.",
        {"type": "string", "enum": ["partial", "all_or_nothing"], "default": "partial"},
    ),
    _parameter(
        "models",
        "query",
        "Models to use instead of the configured ones, such as emotion:mien-emotion-fer2013; needs the setting "
        "`models.selectable`.",
        {"type": "string"},
    ),
]

_STREAM_PARAMETERS = [
    *_ANALYZE_PARAMETERS[:2],
    _parameter(
        "drop_policy",
        "query",
        "`none` analyzes every frame; `latest` drops frames that arrive faster than they are analyzed.",
        {"type": "string", "enum": list(DROP_POLICIES), "default": "none"},
    ),
    _parameter(
        "frame_rate",
        "query",
        "Frames per second of a recording. Default: the time of a frame is that of its arrival.",
        {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_FRAME_RATE},
    ),
    _parameter(
        "detection_interval",
        "query",
        "The detector runs on every n-th frame.",
        {"type": "integer", "minimum": 1, "maximum": MAX_DETECTION_INTERVAL, "default": 5},
    ),
    _parameter(
        "smoothing_half_life_ms",
        "query",
        "Half-life of earlier expressions, in milliseconds; 0 disables smoothing.",
        {"type": "number", "minimum": 0, "maximum": MAX_HALF_LIFE_MS, "default": 200},
    ),
]

_HEADERS = [
    _parameter(
        "X-Request-Timeout", "header", "Seconds until the deadline, such as 2.5; at most 60.", {"type": "number"}
    ),
    _parameter("grpc-timeout", "header", "The deadline as gRPC writes it, such as 500m.", {"type": "string"}),
    _parameter(
        "X-Request-Id",
        "header",
        "Id of the request in the server's log, and of the reply. The server generates one if it is absent or invalid.",
        {"type": "string", "pattern": "^[A-Za-z0-9_.:/+=@-]{1,128}$"},
    ),
]


def _stream() -> Json:
    """Return the WebSocket, which OpenAPI describes by its handshake."""
    operation = _get(
        "stream",
        "Follow faces through a video: a WebSocket. Each binary message is one frame, the bytes of an image file; an "
        "empty one ends the stream. Each text message of the server is one `AnalyzeStreamResponse` as JSON, or "
        '`{"error": ...}` with an `Error` before the server closes the connection.',
        None,
        ("400", "401", "426"),
        _STREAM_PARAMETERS,
    )
    responses = operation["get"]["responses"]
    opened = {
        "description": "The WebSocket is open; its text messages have this schema.",
        **_json("AnalyzeStreamResponse"),
    }
    operation["get"]["responses"] = {"101": opened} | {code: responses[code] for code in responses if code != "200"}
    return operation


def _get(
    operation: str, summary: str, reply: str | None, errors: Iterable[str], parameters: Iterable[Json] = ()
) -> Json:
    return {
        "get": {
            "operationId": operation,
            "summary": summary,
            "parameters": list(parameters),
            "responses": _responses(reply, errors),
        }
    }


def _responses(reply: str | None, errors: Iterable[str]) -> Json:
    return {
        "200": {"description": "The reply.", **(_json(reply) if reply else {})},
        **{code: {"description": _ERRORS[code], **_json("Error")} for code in errors},
    }


def _json(name: str) -> Json:
    return {"content": {"application/json": {"schema": _reference(name)}}}


def _reference(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _error_schema() -> Json:
    return {
        "type": "object",
        "description": "google.rpc.Status.",
        "properties": {
            "code": {"type": "integer", "description": "Number of the google.rpc.Code, not the HTTP status."},
            "message": {"type": "string", "description": "The problem and its remedy."},
            "details": {
                "type": "array",
                "description": "google.rpc.ErrorInfo (with a reason), BadRequest, RetryInfo, RequestInfo.",
                "items": {"type": "object", "properties": {"@type": {"type": "string"}}, "additionalProperties": True},
            },
        },
        "required": ["code", "message", "details"],
    }


def _add(message: Descriptor, schemas: Json, texts: Mapping[str, str]) -> None:
    """Add the schema of a message, and those of the messages in it."""
    name = _short(message)
    if name in schemas:
        return
    schemas[name] = {"type": "object", "description": texts.get(message.full_name, "")}
    schemas[name]["properties"] = {
        field.name: _field(field, schemas, texts) | {"description": texts.get(field.full_name, "")}
        for field in message.fields
    }


def _field(field: FieldDescriptor, schemas: Json, texts: Mapping[str, str]) -> Json:
    message = field.message_type
    if message and message.GetOptions().map_entry:
        return {
            "type": "object",
            "additionalProperties": _value(message.fields_by_name["value"], schemas, texts),
        }
    value = _value(field, schemas, texts)
    return {"type": "array", "items": value} if field.is_repeated else value


def _value(field: FieldDescriptor, schemas: Json, texts: Mapping[str, str]) -> Json:
    if field.enum_type:
        return _enum(field.enum_type)
    if field.message_type is None:
        return dict(_SCALARS[field.type])
    if field.message_type.full_name == status_pb2.Status.DESCRIPTOR.full_name:
        return _reference("Error")
    _add(field.message_type, schemas, texts)
    return _reference(_short(field.message_type))


def _enum(enum: EnumDescriptor) -> Json:
    return {"type": "string", "enum": [value.name for value in enum.values]}


def _short(message: Descriptor) -> str:
    return message.full_name.removeprefix("mien.v1.")
