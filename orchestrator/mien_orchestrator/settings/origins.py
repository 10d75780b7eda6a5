"""Print the effective settings with the source of each."""

from collections.abc import Iterator, Sequence
from typing import Any

import yaml
from pydantic import BaseModel

from mien_orchestrator.settings.names import group_of, keys_of
from mien_orchestrator.settings.settings import Settings
from mien_orchestrator.settings.sources import Source

_INDENT = "  "


def to_yaml(settings: Settings, sources: Sequence[Source], *, changed: bool = False) -> str:
    """Format settings as a settings file, with the source of each non-default value in a comment.

    Args:
        settings: The settings in use.
        sources: The sources, in order of decreasing precedence.
        changed: Leave out the defaults.

    """
    return "\n".join(_lines(settings, (), sources, changed))


def differences(before: Settings, after: Settings) -> list[str]:
    """Return the dotted names of the settings that differ."""
    values = [dict(_flat(settings.model_dump(), "")) for settings in (before, after)]
    return [name for name, value in values[0].items() if values[1][name] != value]


def _flat(values: dict[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _lines(group: BaseModel, above: tuple[str, ...], sources: Sequence[Source], changed: bool) -> Iterator[str]:
    for name, field in type(group).model_fields.items():
        value: Any = getattr(group, name)
        path, indent = (*above, name), _INDENT * len(above)
        if group_of(field) is None:
            source = next((source for source in sources if source.has(path)), None)
            if source or not changed:
                comment = f"  # {source.origin(path)}" if source else ""
                yield f"{indent}{name}: {_scalar(group, name)}{comment}"
            continue
        inner = [
            line
            for key, member in (value.items() if keys_of(field) else [(None, value)])
            for line in _member(member, path, key, sources, changed)
        ]
        if inner:
            yield f"{indent}{name}:"
            yield from inner


def _member(
    group: BaseModel, path: tuple[str, ...], key: str | None, sources: Sequence[Source], changed: bool
) -> list[str]:
    """Return the lines of a group, or of one group of a mapping, such as that of a task."""
    if key is None:
        return list(_lines(group, path, sources, changed))
    lines = list(_lines(group, (*path, key), sources, changed))
    return [f"{_INDENT * len(path)}{key}:", *lines] if lines else []


def _scalar(group: BaseModel, name: str) -> str:
    value = group.model_dump(mode="json", include={name})[name]
    return (
        yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000).removesuffix("...\n").strip()
    )
