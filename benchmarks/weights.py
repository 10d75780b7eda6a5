"""Record the weights that a result file was measured on, and compare them with the shipped ones."""

import json
from pathlib import Path

from mien_models.detectors import create
from mien_models.registry import DEFAULTS, Registry

_DETECTOR = "detector mien"

FILES = (
    "alternatives.json",
    "arrays.json",
    "batches.json",
    "fairness.json",
    "faults.json",
    "mistakes.json",
    "overload.json",
    "photographs.json",
    "protocols.json",
    "reduced.json",
    "rollout.json",
    "systems.json",
    "video.json",
)
"""Result files that depend on the models' weights."""

UNKNOWN = ("batches.json", "overload.json", "systems.json")
"""Of these, the files measured before weights were recorded. Remove a name when its file is measured again."""


def defaults(*detectors: str) -> dict[str, str]:
    """Return the digests of the default models, and of Mien's detector if it is among `detectors`."""
    entries = [Registry().get(name) for name in dict.fromkeys(DEFAULTS.values())]
    digests = {entry.spec.name: entry.digest for entry in entries}
    return digests | ({_DETECTOR: _detector_digest()} if "mien" in detectors else {})


def shipped() -> dict[str, str]:
    """Return the digests of all models of the package and of its detector."""
    return {entry.spec.name: entry.digest for entry in Registry().entries()} | {_DETECTOR: _detector_digest()}


def changed(path: Path) -> list[str] | None:
    """Return the names whose weights changed since a result file was measured; None if they were not recorded.

    A model with an INT8 file is the same model on processors that use it and on those that use float32.
    """
    measured = json.loads(path.read_text(encoding="utf-8")).get("weights")
    current = {
        entry.spec.name: [f"sha256:{file.sha256}" for file in (entry.spec.weights, entry.spec.int8) if file]
        for entry in Registry().entries()
    } | {_DETECTOR: [_detector_digest()]}
    return [name for name, digest in measured.items() if digest not in current.get(name, [])] if measured else None


def status(path: Path) -> str:
    """Return whether a result file is of the shipped weights, for people."""
    names = changed(path)
    if names is None:
        return "unknown (not recorded): measure again"
    return f"older weights of {', '.join(names)}: measure again" if names else "shipped"


def _detector_digest() -> str:
    return create("mien", long_side=640).info.digest
