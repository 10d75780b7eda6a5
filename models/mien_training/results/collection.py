"""The committed result files, read: figures by data set, stability, cost, other precision, and the detectors'."""

import json
from typing import Any

from mien_models.registry import Entry, Registry
from mien_training.results.provenance import RESULTS

DATA_SETS = {
    "fer2013": ("FER2013 with the FER+ votes", "ICML 2013 challenge: research use; votes: MIT"),
    "fairface": ("FairFace (Karkkainen & Joo, arXiv 1908.04913)", "CC BY 4.0"),
    "utkface": ("UTKFace", "non-commercial research"),
}
"""What each labelled zip holds, and its terms."""

SPECS = RESULTS / "specs"
"""Specifications of models that were trained and judged here, but whose weights are too large for the package."""

Result = dict[str, Any]


def entries() -> list[Entry]:
    """Return the models that the project tells figures of as its own: those of the package and those of `SPECS`."""
    return Registry([SPECS]).entries()


def ships(entry: Entry) -> bool:
    """Say whether a model's weights are in the package."""
    return entry.path.parent != SPECS


def figures(name: str) -> dict[str, Result]:
    """Return a model's results by data set; empty where it was not judged."""
    found = {data: _read(f"{name}.{data}") for data in DATA_SETS}
    return {data: result for data, result in found.items() if result}


def stability(name: str) -> Result | None:
    """Return what changes in a face do to a model's answers, or None where it was not measured."""
    return _read(f"{name}.stability")


def cost(name: str) -> Result | None:
    """Return a model's size and times, with the machine, or None where it was not measured."""
    told = _read("cost") or {"models": {}}
    return told["models"][name] | {"machine": told["machine"]} if name in told["models"] else None


def precision(name: str) -> Result | None:
    """Return a model's variants of other precision, or None where none were measured."""
    told: Result | None = (_read("quantization") or {"models": {}})["models"].get(name)
    return told


def detector() -> Result | None:
    """Return the figures of all detectors, or None where they were not judged."""
    return _read("mien.detector")


def long_sides() -> Result | None:
    """Return what the detector finds at several sizes, or None where it was not measured."""
    return _read("mien.long_side")


def _read(stem: str) -> Result | None:
    path = RESULTS / f"{stem}.json"
    if not path.is_file():
        return None
    result: Result = json.loads(path.read_text(encoding="utf-8"))
    return result
