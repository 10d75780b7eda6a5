"""Validate the arguments of a call and build its request message and metadata."""

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from mien.errors import InvalidRequestError
from mien.images import ImageSource, image_bytes, raw_image
from mien.pixels import Color
from mien.transport.base import REQUEST_ID, Metadata
from mien.v1 import face_service_pb2

TaskName: TypeAlias = Literal["age", "gender", "emotion"]
"""Name of a task."""

LONGEST_TIMEOUT = 86_400
"""Longest timeout, in seconds: one day."""

LARGEST_MAX_FACES = 2**32 - 1

_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)
_KEY = re.compile(r"[a-z0-9_.-]+")


def analyze_request(
    image: ImageSource,
    *,
    tasks: Sequence[TaskName] | None,
    max_faces: int | None,
    all_or_nothing: bool,
    color: Color = "rgb",
    models: Mapping[TaskName, str] | None = None,
) -> face_service_pb2.AnalyzeRequest:
    """Build the request of one analysis; see `Client.analyze` for the arguments.

    Raises:
        ImageError: the image cannot be read from its source, or is too large.
        InvalidRequestError: another argument is invalid.

    """
    check_max_faces(max_faces)
    policy = (
        face_service_pb2.FAILURE_POLICY_ALL_OR_NOTHING if all_or_nothing else face_service_pb2.FAILURE_POLICY_PARTIAL
    )
    request = face_service_pb2.AnalyzeRequest(
        tasks=task_names(tasks), max_faces=max_faces, failure_policy=policy, models=_model_names(models)
    )
    raw = raw_image(image, color)
    if raw:
        request.raw.CopyFrom(raw)
    else:
        request.image = image_bytes(image, color)
    return request


def check_max_faces(max_faces: int | None) -> None:
    """Check a maximum number of faces, None for the server's limit; raises `InvalidRequestError`."""
    if max_faces is not None and (
        type(max_faces) is bool or not isinstance(max_faces, int) or not 1 <= max_faces <= LARGEST_MAX_FACES
    ):
        raise max_faces_error(max_faces)


def max_faces_error(value: object) -> InvalidRequestError:
    """Return the error of an invalid maximum number of faces."""
    return InvalidRequestError(
        f"max_faces must be an integer from 1 to {LARGEST_MAX_FACES}, not {str(value)[:80]}; "
        "omit it for the server's limit",
        reason="MAX_FACES_INVALID",
    )


def _model_names(models: Mapping[TaskName, str] | None) -> Mapping[str, str]:
    """Return the models of a request by task; raises `InvalidRequestError`."""
    if models is not None and not (
        isinstance(models, Mapping)
        and all(isinstance(text, str) and text.isprintable() and text for pair in models.items() for text in pair)
    ):
        raise InvalidRequestError(
            f"models must map tasks to names, such as {{'emotion': 'mien-emotion-fer2013'}}, not {models!r:.80}",
            reason="MODELS_INVALID",
        )
    return {str(task): name for task, name in (models or {}).items()}


def seconds(timeout: float | None, default: float) -> float:
    """Return a timeout in seconds, or the default for None; raises `InvalidRequestError` if it is invalid."""
    if timeout is None:
        return default
    if not isinstance(timeout, int | float) or not 0 < timeout <= LONGEST_TIMEOUT:
        raise InvalidRequestError(
            f"timeout must be more than 0 and at most {LONGEST_TIMEOUT} seconds, not {timeout!r}",
            reason="OPTION_OUT_OF_RANGE",
        )
    return timeout


def model_name(name: str) -> str:
    """Validate a model's name; raises `InvalidRequestError` unless it is printable text."""
    if not isinstance(name, str) or not name.isprintable():
        raise InvalidRequestError(f"a model's name must be text, such as 'mien-emotion', not {name!r}")
    return name


def checked_metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Validate metadata and return it with lower-case keys.

    Raises:
        InvalidRequestError: gRPC cannot send a key or a value as text, or a key is reserved.

    """
    checked: dict[str, str] = {}
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidRequestError(
                f"keys and values of metadata must be text, not {key!r}: {value!r:.80}", reason="METADATA"
            )
        lower = key.lower()
        if not _KEY.fullmatch(lower) or lower.startswith("grpc-") or lower.endswith("-bin"):
            raise InvalidRequestError(
                f"metadata key {key[:80]!r} must be letters, digits and -_. without prefix grpc- or suffix -bin",
                reason="METADATA",
            )
        if not all(" " <= letter <= "~" for letter in value):
            raise InvalidRequestError(f"metadata {lower}: the value must be printable ASCII", reason="METADATA")
        checked[lower] = value
    return checked


def call_metadata(
    defaults: Mapping[str, str], metadata: Mapping[str, str] | None = None, request_id: str | None = None
) -> Metadata:
    """Merge the metadata of client and call, and add the request id, a random one by default.

    Raises:
        InvalidRequestError: the metadata or the request id is invalid.

    """
    merged = {**defaults, **checked_metadata(metadata)}
    given = request_id if request_id is not None else merged.get(REQUEST_ID)
    if given is not None and not (isinstance(given, str) and _ID.fullmatch(given)):
        raise InvalidRequestError(
            "a request id must be 1 to 128 letters, digits and .:/+=@_-", reason="REQUEST_ID_INVALID"
        )
    return merged | {REQUEST_ID: given or uuid.uuid4().hex}


def task_names(tasks: Sequence[TaskName] | None) -> Sequence[str]:
    """Return the tasks of a request, none for all; raises `InvalidRequestError`."""
    if tasks is None:
        return ()
    if isinstance(tasks, str):
        raise InvalidRequestError(f"tasks must be a list; pass [{tasks!r}]", reason="TASK_UNKNOWN")
    if not isinstance(tasks, Sequence) or not all(isinstance(task, str) and task.isprintable() for task in tasks):
        raise InvalidRequestError("tasks must be a list of names, such as ['age', 'gender']", reason="TASK_UNKNOWN")
    return tasks
