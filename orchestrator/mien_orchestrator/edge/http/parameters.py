"""The options of a request over HTTP: its query and its headers."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import cast

from mien.errors import InvalidRequestError
from mien.request import check_max_faces, max_faces_error
from mien.v1 import face_service_pb2 as pb
from mien.video.options import DropPolicy, StreamOptions, check_frame_rate

TOKEN_NAMES = frozenset({"token", "access_token", "auth_token", "api_key", "apikey", "key", "authorization"})
"""Names of query parameters that people put tokens into."""

OPTIONS = ("tasks", "max_faces", "failure_policy", "models")

STREAM_OPTIONS = (
    "tasks",
    "max_faces",
    "smoothing_half_life_ms",
    "detection_interval",
    "drop_policy",
    "frame_rate",
)

_POLICIES = {"partial": pb.FAILURE_POLICY_PARTIAL, "all_or_nothing": pb.FAILURE_POLICY_ALL_OR_NOTHING}

_GRPC_TIMEOUT = re.compile(r"(\d{1,8})([HMSmun])", re.ASCII)
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}

_SECONDS = re.compile(r"\d{1,8}(\.\d{1,9})?", re.ASCII)

_NUMBER = re.compile(r"\d{1,9}(\.\d{1,6})?", re.ASCII)
_WHOLE = re.compile(r"\d{1,9}", re.ASCII)

_MAX_MODELS = 16

_SHOWN = 80
"""Characters of a caller's text that an error repeats."""


def timeout_of(headers: Mapping[str, str]) -> float | None:
    """Return the timeout in seconds from `grpc-timeout` (`500m`) or `x-request-timeout` (`0.5`); None without either.

    Raises:
        InvalidRequestError: A header is not a time above 0; the reason is TIMEOUT_INVALID.

    """
    if (given := headers.get("grpc-timeout")) is not None:
        found = _GRPC_TIMEOUT.fullmatch(given)
        seconds = int(found[1]) * _UNITS[found[2]] if found else 0.0
        hint = "grpc-timeout is up to 8 digits and one of H, M, S, m, u, n, such as 500m"
    elif (given := headers.get("x-request-timeout")) is not None:
        seconds = float(given) if _SECONDS.fullmatch(given) else 0.0
        hint = "x-request-timeout is a number of seconds above 0, such as 2.5"
    else:
        return None
    if not seconds:
        raise InvalidRequestError(f"{hint}, not {given[:_SHOWN]!r}", reason="TIMEOUT_INVALID")
    return seconds


def analyze_options(query: Iterable[tuple[str, str]]) -> pb.AnalyzeRequest:
    """Return the request of an analysis, without its image.

    Args:
        query: The parameters: `tasks` (names separated by commas), `max_faces`, `failure_policy`, `models`
            (`task:model` separated by commas).

    Raises:
        InvalidRequestError: A parameter is unknown, repeated or invalid.

    """
    given = _given(query, OPTIONS)
    request = pb.AnalyzeRequest()
    if "tasks" in given:
        request.tasks.extend(_tasks(given["tasks"]))
    if "max_faces" in given:
        request.max_faces = _count(given["max_faces"])
    if "failure_policy" in given:
        request.failure_policy = _policy(given["failure_policy"])
    if "models" in given:
        request.models.update(_models(given["models"]))
    return request


def stream_options(query: Iterable[tuple[str, str]]) -> tuple[pb.StreamConfig, float | None]:
    """Return the configuration of a stream, and the time between its frames in milliseconds if it is fixed.

    Args:
        query: The parameters: `tasks`, `max_faces`, `smoothing_half_life_ms`, `detection_interval`, `drop_policy`
            (`none` or `latest`), `frame_rate` (frames per second of a recording; without it, the time of a frame is
            that of its arrival).

    Raises:
        InvalidRequestError: A parameter is unknown, repeated or invalid.

    """
    given = _given(query, STREAM_OPTIONS)
    config = StreamOptions(
        max_faces=_count(given["max_faces"]) if "max_faces" in given else None,
        smoothing_half_life_ms=_number(given, "smoothing_half_life_ms"),
        detection_interval=_whole(given, "detection_interval"),
        drop_policy=cast(DropPolicy, given.get("drop_policy", "none")),
    ).config()
    if "tasks" in given:
        config.tasks.extend(_tasks(given["tasks"]))
    frame_rate = _number(given, "frame_rate")
    if frame_rate is None:
        return config, None
    check_frame_rate(frame_rate)
    return config, 1e3 / frame_rate


def _given(query: Iterable[tuple[str, str]], known: Collection[str]) -> dict[str, str]:
    """Return the parameters by name; `tasks` may be repeated."""
    given: dict[str, str] = {}
    for name, value in query:
        if name not in known:
            raise InvalidRequestError(
                f"unknown parameter {name[:_SHOWN]!r}; use {', '.join(known)}", reason="PARAMETER_UNKNOWN"
            )
        if name in given and name != "tasks":
            raise InvalidRequestError(f"the parameter {name} is given twice", reason="PARAMETER_REPEATED")
        given[name] = f"{given[name]},{value}" if name in given else value
    return given


def _number(given: Mapping[str, str], name: str) -> float | None:
    text = given.get(name)
    if text is not None and not _NUMBER.fullmatch(text):
        raise InvalidRequestError(
            f"{name} must be a number with at most 9 digits before and 6 after the decimal point, such as 29.97, "
            f"not {text[:_SHOWN]!r}",
            reason="PARAMETER_INVALID",
        )
    return None if text is None else float(text)


def _whole(given: Mapping[str, str], name: str) -> int | None:
    text = given.get(name)
    if text is not None and not _WHOLE.fullmatch(text):
        raise InvalidRequestError(f"{name} must be an integer, not {text[:_SHOWN]!r}", reason="PARAMETER_INVALID")
    return None if text is None else int(text)


def _models(text: str) -> dict[str, str]:
    pairs = [item.strip().partition(":") for item in text.split(",")]
    if len(pairs) > _MAX_MODELS or not all(task and name for task, _, name in pairs):
        raise InvalidRequestError(
            f"models is a list such as emotion:mien-emotion-fer2013, not {text[:_SHOWN]!r}", reason="MODELS_INVALID"
        )
    return {task: name for task, _, name in pairs}


def _tasks(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise InvalidRequestError(
            "tasks has an empty name; leave the parameter out for all tasks", reason="TASK_UNKNOWN"
        )
    return names


def _count(text: str) -> int:
    if not re.fullmatch(r"\d{1,10}", text, re.ASCII):
        raise max_faces_error(text)
    check_max_faces(int(text))
    return int(text)


def _policy(text: str) -> pb.FailurePolicy.ValueType:
    if text not in _POLICIES:
        raise InvalidRequestError(
            f"unknown failure_policy {text[:_SHOWN]!r}; use one of {', '.join(_POLICIES)}",
            reason="FAILURE_POLICY_UNKNOWN",
        )
    return _POLICIES[text]
