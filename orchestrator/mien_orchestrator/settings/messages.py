"""Format validation errors of settings: source, name, problem and remedy."""

from collections.abc import Sequence

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mien_orchestrator.settings import names
from mien_orchestrator.settings.sources import Source


def describe(shape: type[BaseModel], error: ValidationError, sources: Sequence[Source]) -> str:
    """Format the errors of invalid settings.

    Args:
        shape: The class of all settings.
        error: The validation error of the merged sources.
        sources: The sources, in order of decreasing precedence.

    """
    return "invalid settings: " + "; ".join(_line(shape, item, sources) for item in error.errors())


def _line(shape: type[BaseModel], item: ErrorDetails, sources: Sequence[Source]) -> str:
    path = [str(part) for part in item["loc"] if part != "[key]"]
    origin = next((source.name(path) for source in sources if path and source.has(path)), ".".join(path))
    return f"{origin}: {_problem(shape, item, path)}" if origin else _message(item)


def _problem(shape: type[BaseModel], item: ErrorDetails, path: Sequence[str]) -> str:
    if "[key]" in item["loc"]:
        known = {inner[1] for inner in names.paths(shape) if inner[0] == path[0] and len(inner) > 1}
        return f"unknown; choose one of {', '.join(sorted(known))}"
    if item["type"] == "extra_forbidden":
        near = names.nearest(shape, path)
        moved = ".".join(path) in names.FORMER
        hint = f"; it is now {near}" if moved else f"; did you mean {near}?" if near else ""
        return f"unknown setting{hint}"
    if item["type"] in {"model_type", "dict_type"}:
        inner = [".".join(known[len(path) :]) for known in names.paths(shape) if list(known[: len(path)]) == [*path]]
        former = names.FORMER.get(".".join(path))
        hint = f"; it is now {former}" if former else ""
        return f"is a group of settings ({', '.join(inner[:4])}, ...), not {item['input']!r}{hint}"
    return _message(item)


def _message(item: ErrorDetails) -> str:
    return item["msg"].removeprefix("Value error, ")
