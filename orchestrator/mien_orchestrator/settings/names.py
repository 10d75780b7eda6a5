"""Names of settings: dotted names, environment variables, former names, and suggestions for misspelt names."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_PREFIX = "MIEN_"
_OTHER = {"MIEN_SERVER", "MIEN_TOKEN", "MIEN_CONFIG", "MIEN_MODEL_STORE", "MIEN_MODEL_FOLDERS"}
"""Variables that do not correspond to a dotted name: the SDK's, the settings file, and short names."""

FORMER = {
    "host": "server.host",
    "port": "server.port",
    "drain_seconds": "server.drain_s",
    "reflection": "server.reflection",
    "tls_certificate": "tls.certificate",
    "tls_key": "tls.key",
    "tls_client_ca": "tls.client_ca",
    "token_file": "auth.token_file",
    "log_format": "telemetry.log_format",
    "log_level": "telemetry.log_level",
    "metrics_port": "telemetry.metrics_port",
    "otlp_endpoint": "telemetry.otlp_endpoint",
    "detector": "detector.name",
    "detector_path": "detector.path",
    "detector_long_side": "detector.long_side_px",
    "detector_min_score": "detector.min_score",
    "detector_tiles": "detector.tiles",
    "reduced_decoding": "detector.reduced_decoding",
    "max_concurrent_requests": "limits.max_concurrent_requests",
    "max_concurrent_bytes": "limits.max_concurrent_bytes",
    "reply_margin_s": "limits.deadline_headroom_s",
    "max_image_bytes": "limits.max_image_bytes",
    "max_image_pixels": "limits.max_image_pixels",
    "max_decoded_bytes": "limits.max_decoded_bytes",
    "max_faces": "limits.max_faces",
    "min_face": "limits.min_face_px",
    "min_sharpness": "limits.min_sharpness",
    "cpu_threads": "limits.cpu_threads",
    "breaker_failures": "breaker.failures",
    "breaker_pause_s": "breaker.cooldown_s",
    "model_store": "models.store",
    "model_folders": "models.folders",
    "http.compare_models": "models.selectable",
}
"""Former names of settings, and their present ones."""


def variable(path: Sequence[str]) -> str:
    """Return the environment variable of a setting."""
    return _PREFIX + "__".join(path).upper()


def group_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the group of a field, or None for a single setting."""
    annotation = field.annotation
    if get_origin(annotation) is dict:
        annotation = get_args(annotation)[1]
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def keys_of(field: FieldInfo) -> tuple[str, ...]:
    """Return the keys of a mapping of groups, such as the tasks; empty for other fields."""
    if get_origin(field.annotation) is not dict:
        return ()
    return get_args(get_args(field.annotation)[0])


def paths(shape: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every single setting, such as `("server", "port")`."""
    for name, field in shape.model_fields.items():
        path = (*above, name)
        group = group_of(field)
        if group is None:
            yield path
            continue
        for keyed in [(*path, key) for key in keys_of(field)] or [path]:
            yield from paths(group, keyed)


def nearest(shape: type[BaseModel], path: Sequence[str]) -> str | None:
    """Return the dotted name of the setting that an unknown one probably means, or None.

    A former name is replaced by the present one; otherwise the spelling decides, first inside the same group, then of
    the last part anywhere, then of the whole name.
    """
    *above, last = path
    if ".".join(path) in FORMER:
        return FORMER[".".join(path)]
    known = list(paths(shape))
    siblings = {
        item[len(above)]: item for item in known if list(item[: len(above)]) == above and len(item) > len(above)
    }
    if found := get_close_matches(last, siblings, n=1, cutoff=0.6):
        return ".".join([*above, found[0]])
    for spelling in ({item[-1]: item for item in reversed(known)}, {".".join(item): item for item in known}):
        name = last if last in spelling or len(path) == 1 else ".".join(path)
        if found := get_close_matches(name, spelling, n=1, cutoff=0.8):
            return ".".join(spelling[found[0]])
    return None


def misspelt(shape: type[BaseModel], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that look like a misspelt or former setting, each with a hint."""
    known = {variable(path) for path in paths(shape)}
    groups = {name.upper() for name in shape.model_fields}
    hints = {}
    for name in sorted(environment):
        if not name.startswith(_PREFIX) or name in known | _OTHER or environment[name].startswith("tcp://"):
            continue
        own = name.removeprefix(_PREFIX)
        if own.partition("__")[0] in groups and "__" in own:
            continue  # an unknown setting of a group is an error
        if own.lower() in FORMER:
            hints[name] = f"use {variable(FORMER[own.lower()].split('.'))}"
        elif own in groups:
            example = next(item for item in known if item.startswith(f"{name}__"))
            hints[name] = f"it is a group; set one of its settings, such as {example}"
        elif found := get_close_matches(name, known | _OTHER, n=1, cutoff=0.85):
            hints[name] = f"did you mean {found[0]}?"
    return hints
