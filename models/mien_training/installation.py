"""Find the installed models and detectors for the evaluation commands."""

import os
from pathlib import Path

from mien_models.registry import Registry
from mien_models.store import ModelStore, default_folder


def store() -> ModelStore:
    """Return the user's model store; `MIEN_MODEL_STORE` sets another folder."""
    return ModelStore(Path(os.environ.get("MIEN_MODEL_STORE") or default_folder()))


def registry() -> Registry:
    """Return the models of the package and of the user's store.

    Raises:
        ModelError: The store holds an invalid specification.

    """
    return store().registry()


def detector_file(name: str) -> Path | None:
    """Return the file that the detector `name` loads: YuNet's ONNX file, or a detector's specification.

    `MIEN_YUNET` sets YuNet's file; otherwise both are searched in the model store. None means the shipped detector.
    """
    named = os.environ.get("MIEN_YUNET") if name == "yunet" else None
    return Path(named) if named else store().detector_file(name)
