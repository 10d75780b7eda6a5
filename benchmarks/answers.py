"""Two replies in, their first difference out: before and after it is measured, every system must say the same."""

import math
from collections.abc import Mapping

from pipeline import Reply

TOLERANCE = 2e-3
"""Largest difference of two numbers, as a fraction of the larger one or, below one, as it is.

ONNX Runtime adds up in another order in a stack of another size, and a reply holds 32-bit floats.
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
    """A system that says something else than the models do."""


def difference(said: Reply, expected: Reply) -> str | None:
    """Return where two replies differ, None where they say the same."""
    faces, wanted = _list(said, "faces"), _list(expected, "faces")
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
    """Return how many faces a reply has."""
    return len(_list(reply, "faces"))


def _list(reply: Reply, name: str) -> list[Reply]:
    value = reply.get(name, [])  # protobuf's JSON leaves an empty list out
    return value if isinstance(value, list) else []


def _emotions(face: Reply) -> Reply:
    """Return the probabilities by label: those that are all but equal may come in either order."""
    return {str(item["label"]): item["probability"] for item in _list(face, "emotions")}


def _first(said: object, expected: object, where: str) -> str | None:
    if isinstance(said, Mapping) and isinstance(expected, Mapping):
        pairs = ((f"{where}.{key}", said.get(key), expected.get(key)) for key in {**said, **expected})
        return next((found for name, one, other in pairs if (found := _first(one, other, name))), None)
    if isinstance(said, int | float) and isinstance(expected, int | float):
        same = math.isclose(said, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    else:
        same = said == expected
    return None if same else f"{where} is {said!r} instead of {expected!r}"
