"""The user's model store: published weights that were fetched or imported, and models trained here."""

from mien_models.store.model_store import TRAINED_DETECTORS, ModelStore, default_folder

__all__ = ["TRAINED_DETECTORS", "ModelStore", "default_folder"]
