"""Read and merge the sources of settings: arguments, environment and settings file."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource

from mien.errors import SettingsError
from mien_orchestrator.settings import names
from mien_orchestrator.settings.serve_config import is_serve_config, settings_of

PREFIX = "MIEN_"
"""Prefix of the environment variables."""

CONFIG = "MIEN_CONFIG"
"""Environment variable with the path of the settings file."""

_SHORT = {"MIEN_MODEL_STORE": ("models", "store"), "MIEN_MODEL_FOLDERS": ("models", "folders")}
"""Short names for `MIEN_MODELS__STORE` and `MIEN_MODELS__FOLDERS`."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """Settings of one source, nested as in the settings file."""

    kind: str
    """`argument`, `environment` or the name of the file."""
    values: Mapping[str, Any]

    def origin(self, path: Sequence[str]) -> str:
        """Return the origin of a setting: its environment variable, the file, or `argument`."""
        if self.kind != "environment":
            return self.kind
        short = [name for name, target in _SHORT.items() if target == tuple(path[:2]) and os.environ.get(name)]
        return next(iter(short), names.variable(path))

    def name(self, path: Sequence[str]) -> str:
        """Return the full name of a setting of this source, for messages."""
        return self.origin(path) if self.kind == "environment" else f"{self.kind}: {'.'.join(path)}"

    def has(self, path: Sequence[str]) -> bool:
        """Return whether this source has the setting, or a part of it."""
        values: Any = self.values
        for key in path:
            if not isinstance(values, Mapping) or key not in values:
                return False
            values = values[key]
        return True


class _Environment(EnvSettingsSource):
    """Variables of single settings only: `MIEN_SERVER`, which the SDK reads, is not the group `server` as JSON."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return no value for the variable of a whole group."""
        _, key, is_complex = super().get_field_value(field, field_name)
        return None, key, is_complex


def read_sources(shape: type[BaseSettings], arguments: Mapping[str, object], config: str | Path | None) -> list[Source]:
    """Read all sources, in order of decreasing precedence.

    Args:
        shape: The class of all settings.
        arguments: Settings as groups or with dotted names.
        config: The settings file; None for `MIEN_CONFIG`, if it is set.

    Raises:
        SettingsError: The file cannot be read or does not contain settings.

    """
    for variable, hint in names.misspelt(shape, os.environ).items():
        _log.warning("%s is not a setting; %s", variable, hint)
    environment = _Environment(shape)()
    for variable, (group, name) in _SHORT.items():
        if value := os.environ.get(variable):
            environment.setdefault(group, {}).setdefault(name, value)
    sources = [Source("argument", nested(arguments)), Source("environment", environment)]
    file = config or os.environ.get(CONFIG)
    return [*sources, Source(str(file), read_file(Path(file)))] if file else sources


def config_path(config: Path | None) -> Path:
    """Return the settings file: `config`, or the one of `MIEN_CONFIG`; raises `SettingsError` without either."""
    file = config or os.environ.get(CONFIG)
    if not file:
        raise SettingsError(f"no settings file: pass --config FILE, or set {CONFIG}")
    return Path(file)


def nested(values: Mapping[str, object]) -> dict[str, Any]:
    """Convert dotted names to groups: `{"server.port": 0}` becomes `{"server": {"port": 0}}`."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        *groups, last = name.split(".")
        inner: dict[str, Any] = {last: value}
        for group in reversed(groups):
            inner = {group: inner}
        result = _over(inner, result)
    return result


def merged(sources: Sequence[Source]) -> dict[str, Any]:
    """Merge sources; earlier ones take precedence."""
    result: dict[str, Any] = {}
    for source in sources:
        result = _over(result, source.values)
    return result


def _over(high: Mapping[str, Any], low: Mapping[str, Any]) -> dict[str, Any]:
    result = {**low, **high}
    for key in high.keys() & low.keys():
        if isinstance(high[key], Mapping) and isinstance(low[key], Mapping):
            result[key] = _over(high[key], low[key])
    return result


def read_file(path: Path) -> dict[str, Any]:
    """Return the settings in a settings file or Ray Serve config; raises `SettingsError`."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise SettingsError(f"settings file {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"settings file {path} is not YAML: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise SettingsError(f"settings file {path} does not contain settings (a mapping of names to values)")
    try:
        settings = settings_of(content) if is_serve_config(content) else content
    except ValueError as error:
        raise SettingsError(f"settings file {path}: {error}") from error
    return {name: value for name, value in settings.items() if value is not None}  # an empty group
