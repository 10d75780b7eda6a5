"""Read the committed result files: metrics, robustness, cost, precision and detectors."""

import json
from typing import Any

from mien_models.registry import Entry, Registry
from mien_training.results.provenance import RESULTS

DATA_SETS = {
    "fer2013": ("FER2013 with the FER+ votes", "ICML 2013 challenge: research use; votes: MIT"),
    "fairface": ("FairFace (Karkkainen & Joo, arXiv 1908.04913)", "CC BY 4.0"),
    "utkface": ("UTKFace", "non-commercial research"),
}
"""Contents and terms of each labelled zip."""

SPECS = RESULTS / "specs"
"""Specifications of models that were trained and evaluated here but are too large for the package."""

Result = dict[str, Any]


def entries() -> list[Entry]:
    """Return the project's own models: those of the package and those of `SPECS`."""
    return Registry([SPECS]).entries()


def ships(entry: Entry) -> bool:
    """Return whether the package contains a model's weights."""
    return entry.path.parent != SPECS


def results(name: str) -> dict[str, Result]:
    """Return a model's results by data set; empty if it was not evaluated."""
    found = {data: _read(f"{name}.{data}") for data in DATA_SETS}
    return {data: result for data, result in found.items() if result}


def robustness(name: str) -> Result | None:
    """Return a model's robustness results, or None if not measured."""
    return _read(f"{name}.stability")


def cost(name: str) -> Result | None:
    """Return a model's size, times and machine, or None if not measured."""
    result = _read("cost") or {"models": {}}
    return result["models"][name] | {"machine": result["machine"]} if name in result["models"] else None


def precision(name: str) -> Result | None:
    """Return a model's variants in other precisions, or None if not measured."""
    result: Result | None = (_read("quantization") or {"models": {}})["models"].get(name)
    return result


def detector() -> Result | None:
    """Return the results of all detectors, or None if not measured."""
    return _read("mien.detector")


def long_sides() -> Result | None:
    """Return the detector's results at several sizes, or None if not measured."""
    return _read("mien.long_side")


def _read(stem: str) -> Result | None:
    path = RESULTS / f"{stem}.json"
    if not path.is_file():
        return None
    result: Result = json.loads(path.read_text(encoding="utf-8"))
    return result
