"""Compare two responses: before and during a measurement, every system must return the models' predictions."""

import math
from collections.abc import Mapping

from pipeline import Reply

TOLERANCE = 2e-3
"""Largest accepted difference of two numbers, relative to the larger one or, below one, absolute.

ONNX Runtime sums in another order for another batch size, and a response holds 32-bit floats.
"""

_COMPARED = (
    "box",
    "ratio_box",
    "landmarks",
    "detection_score",
    "quality",
    "age",
    "gender",
    "mood",
)


class AnswerError(Exception):
    """A system whose response differs from the models' predictions."""


def difference(actual: Reply, expected: Reply) -> str | None:
    """Return the first difference of two responses, or None if they are equal."""
    faces, wanted = _list(actual, "faces"), _list(expected, "faces")
    if len(faces) != len(wanted):
        return f"{len(faces)} faces instead of {len(wanted)}"
    for index, (face, other) in enumerate(zip(faces, wanted, strict=True)):
        where = f"face {index}"
        found = _first({key: face.get(key) for key in _COMPARED}, {key: other.get(key) for key in _COMPARED}, where)
        found = found or _first(_emotions(face), _emotions(other), f"{where}.emotions")
        if found:
            return found
    return None


def face_count(reply: Reply) -> int:
    """Return the number of faces in a response."""
    return len(_list(reply, "faces"))


def _list(reply: Reply, name: str) -> list[Reply]:
    value = reply.get(name, [])  # protobuf's JSON omits empty lists
    return value if isinstance(value, list) else []


def _emotions(face: Reply) -> Reply:
    """Return the probabilities by label, since nearly equal ones may come in either order."""
    return {str(item["label"]): item["probability"] for item in _list(face, "emotions")}


def _first(actual: object, expected: object, where: str) -> str | None:
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        pairs = ((f"{where}.{key}", actual.get(key), expected.get(key)) for key in {**actual, **expected})
        return next((found for name, one, other in pairs if (found := _first(one, other, name))), None)
    if isinstance(actual, int | float) and isinstance(expected, int | float):
        same = math.isclose(actual, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    else:
        same = actual == expected
    return None if same else f"{where} is {actual!r} instead of {expected!r}"
