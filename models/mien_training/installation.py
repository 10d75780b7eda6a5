"""The models and detectors of this installation, which the evaluation commands measure."""

import os
from pathlib import Path

from mien_models.registry import Registry
from mien_models.store import ModelStore, default_folder


def store() -> ModelStore:
    """Return the user's model store; the environment variable `MIEN_MODEL_STORE` names another folder."""
    return ModelStore(Path(os.environ.get("MIEN_MODEL_STORE") or default_folder()))


def registry() -> Registry:
    """Return the models of the package and of the user's store.

    Raises:
        ModelError: The store holds an invalid specification.

    """
    return store().registry()


def detector_file(name: str) -> Path | None:
    """Return the file that the detector `name` loads: YuNet's ONNX file, or the specification of a detector.

    `MIEN_YUNET` names YuNet's file; without it, both are looked for in the model store. None is the detector that
    ships.
    """
    named = os.environ.get("MIEN_YUNET") if name == "yunet" else None
    return Path(named) if named else store().detector_file(name)
