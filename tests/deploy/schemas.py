"""Validate documents against their schemas: Kubernetes' kinds, and custom resources with their CEL rules."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import celpy
import jsonschema
import kubernetes_validate
import yaml
from celpy.adapter import json_to_cel

from tests.deploy.manifests import Manifest

KUBERNETES = "1.32"

UNCHECKED = {"PrometheusRule"}
"""Kinds without an available definition; the tests of the monitoring check their expressions."""

_OBJECT_META = {"apiVersion", "kind", "metadata"}


class CustomKinds:
    """The custom resource definitions of a folder."""

    def __init__(self, folder: Path) -> None:
        self._schemas: dict[tuple[str, str], dict[str, Any]] = {}
        for path in folder.glob("*.yaml"):
            definition = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)["spec"]
            for version in definition["versions"]:
                key = f"{definition['group']}/{version['name']}", definition["names"]["kind"]
                self._schemas[key] = version["schema"]["openAPIV3Schema"]

    def problems(self, document: Manifest) -> Iterator[str] | None:
        """Return the errors of a custom resource; None if its kind is unknown."""
        schema = self._schemas.get((document["apiVersion"], document["kind"]))
        return None if schema is None else _custom_problems(document, schema)


def problems(documents: list[Manifest], custom: CustomKinds) -> Iterator[str]:
    """Yield what an API server would reject."""
    for document in documents:
        name = f"{document['kind']}/{document['metadata']['name']}"
        found = custom.problems(document)
        if found is not None:
            yield from (f"{name}: {problem}" for problem in found)
        elif document["kind"] not in UNCHECKED:
            try:
                kubernetes_validate.validate(document, KUBERNETES, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{name}: {error.message}"
            except kubernetes_validate.SchemaNotFoundError:
                yield f"{name}: unknown kind"


def _custom_problems(document: Manifest, schema: dict[str, Any]) -> Iterator[str]:
    yield from _unknown(document, schema, "")
    full = _with_defaults(copy.deepcopy(document), schema)
    for error in jsonschema.Draft202012Validator(_plain(schema)).iter_errors(full):
        yield f"{error.json_path}: {error.message}"
    yield from _broken_rules(full, schema, "")


def _plain(schema: Any) -> Any:
    """Convert a schema to JSON Schema: `x-kubernetes-int-or-string` replaces the type, `nullable` is dropped."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _plain(value) for key, value in schema.items() if key not in {"format", "nullable"}}


def _children(value: Any, schema: dict[str, Any]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Iterate over the fields and items of a value that the schema describes."""
    if isinstance(value, dict):
        extra = schema.get("additionalProperties")
        for key, child in value.items():
            inner = schema.get("properties", {}).get(key, extra)
            if isinstance(inner, dict):
                yield f".{key}", child, inner
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield f"[{index}]", child, schema.get("items", {})


def _unknown(value: Any, schema: dict[str, Any], path: str) -> Iterator[str]:
    """Yield the fields that the API server would drop."""
    known = schema.get("properties", {})
    open_ = schema.get("additionalProperties") or schema.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(value, dict) and not open_:
        bare = known.keys() | (_OBJECT_META if not path else set())
        if known or path != ".metadata":  # metadata is the API server's own
            yield from (f"unknown field {path}.{key}" for key in value.keys() - bare)
    for step, child, inner in _children(value, schema):
        yield from _unknown(child, inner, path + step)


def _with_defaults(value: Any, schema: dict[str, Any]) -> Any:
    """Fill in defaults as the API server does before it evaluates rules."""
    if isinstance(value, dict):
        for key, inner in schema.get("properties", {}).items():
            if "default" in inner:
                value.setdefault(key, copy.deepcopy(inner["default"]))
    for _, child, inner in _children(value, schema):
        _with_defaults(child, inner)
    return value


def _broken_rules(value: Any, schema: dict[str, Any], path: str) -> Iterator[str]:
    """Evaluate the CEL rules; those that compare with an older object are skipped without one."""
    for rule in schema.get("x-kubernetes-validations", []):
        if "oldSelf" not in rule["rule"] and not _holds(rule["rule"], value):
            yield f"{path or '.'}: {rule.get('message', rule['rule'])}"
    for step, child, inner in _children(value, schema):
        yield from _broken_rules(child, inner, path + step)


def _holds(rule: str, value: Any) -> bool:
    environment = celpy.Environment()
    program = environment.program(environment.compile(rule))
    return bool(program.evaluate({"self": json_to_cel(value)}))
