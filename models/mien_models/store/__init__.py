"""The user's model store: fetched, imported, added and trained models."""

from mien_models.store.model_store import TRAINED_DETECTORS, ModelStore, default_folder

__all__ = ["TRAINED_DETECTORS", "ModelStore", "default_folder"]
