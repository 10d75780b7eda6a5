"""The options of a request over HTTP: its query and its headers."""

import re
from collections.abc import Iterable, Mapping

from mien.errors import InvalidRequestError
from mien.v1 import face_service_pb2 as pb

TOKEN_NAMES = frozenset({"token", "access_token", "auth_token", "api_key", "apikey", "key", "authorization"})
"""Names of query parameters that people put tokens into."""

OPTIONS = ("tasks", "max_faces", "failure_policy", "models")

_POLICIES = {"partial": pb.FAILURE_POLICY_PARTIAL, "all_or_nothing": pb.FAILURE_POLICY_ALL_OR_NOTHING}

_GRPC_TIMEOUT = re.compile(r"(\d{1,8})([HMSmun])", re.ASCII)
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}

_SECONDS = re.compile(r"\d{1,8}(\.\d{1,9})?", re.ASCII)

_MAX_MODELS = 16

_SHOWN = 80
"""Characters of a caller's text that an error repeats."""


def timeout_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a caller waits: `grpc-timeout` (`500m`) or `x-request-timeout` (`0.5`); None without one.

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


def analyze_options(query: Iterable[tuple[str, str]]) -> tuple[pb.AnalyzeRequest, dict[str, str]]:
    """Return the request of an analysis, without its image, and the models that it names by task.

    Args:
        query: The parameters: `tasks` (names separated by commas), `max_faces`, `failure_policy`, `models`
            (`task:model` separated by commas).

    Raises:
        InvalidRequestError: A parameter is unknown, repeated or invalid.

    """
    given: dict[str, str] = {}
    for name, value in query:
        if name not in OPTIONS:
            raise InvalidRequestError(
                f"unknown parameter {name[:_SHOWN]!r}; known are {', '.join(OPTIONS)}", reason="PARAMETER_UNKNOWN"
            )
        if name in given and name != "tasks":
            raise InvalidRequestError(f"the parameter {name} is given twice", reason="PARAMETER_REPEATED")
        given[name] = f"{given[name]},{value}" if name in given else value
    request = pb.AnalyzeRequest()
    if "tasks" in given:
        request.tasks.extend(_tasks(given["tasks"]))
    if "max_faces" in given:
        request.max_faces = _count(given["max_faces"])
    if "failure_policy" in given:
        request.failure_policy = _policy(given["failure_policy"])
    return request, _models(given["models"]) if "models" in given else {}


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
    if not re.fullmatch(r"\d{1,10}", text, re.ASCII) or not 0 < int(text) < 2**32:
        raise InvalidRequestError(
            f"max_faces is a whole number from 1 to {2**32 - 1}, not {text[:_SHOWN]!r}", reason="MAX_FACES_INVALID"
        )
    return int(text)


def _policy(text: str) -> pb.FailurePolicy.ValueType:
    if text not in _POLICIES:
        raise InvalidRequestError(
            f"unknown failure_policy {text[:_SHOWN]!r}; use one of {', '.join(_POLICIES)}",
            reason="FAILURE_POLICY_UNKNOWN",
        )
    return _POLICIES[text]
