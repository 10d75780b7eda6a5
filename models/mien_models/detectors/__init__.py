"""Face detectors, by name."""

from mien_models.detectors.base import DETECTORS, Detector, DetectorInfo, shrink
from mien_models.detectors.factory import create

__all__ = ["DETECTORS", "Detector", "DetectorInfo", "create", "shrink"]
