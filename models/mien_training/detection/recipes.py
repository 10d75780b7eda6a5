"""Training recipes of the detectors: specification, data, length of the run. Does not import PyTorch."""

from dataclasses import dataclass
from pathlib import Path

from mien_models.detectors.spec import SHIPPED, DetectorSpec


@dataclass(frozen=True, slots=True)
class DetectionRecipe:
    """One training run of a detector."""

    spec: DetectorSpec
    epochs: int
    photographs: str = "detect"
    """Name of the photographs' zip, without `.zip`."""
    further: tuple[str, ...] = ("cfp",)
    """Names of optional zips in the same format, used if the data folder contains them."""
    start: Path | None = None
    """Specification of the detector whose weights initialise the run; None for random weights."""
    chips: tuple[str, ...] = ("fairface", "utkface")
    """Names of the zips whose faces are pasted into the photographs."""
    chip_limit: int = 16_000
    """Maximum number of pasted faces."""
    steps: int = 100
    """Batches per epoch; scenes are generated anew for each batch, so an epoch only sets the checkpoint interval."""
    plain_share: float = 0.33
    """Final fraction of the run that trains on plain crops, without mosaics and pasted faces (as YOLOX does, Ge et al.,
    arXiv 2107.08430)."""
    sizes: tuple[int, ...] = (256, 320, 320, 416)
    """Side lengths of the scenes in pixels; one is chosen for each batch."""
    pixels: int = 16 * 320 * 320
    """Approximate number of pixels per batch."""
    false_share: float = 0.045
    """False positives per photograph of `val` at the chosen threshold; slightly below YuNet's rate."""
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warm_up: int = 300
    """Warm-up steps of the learning rate."""


_SPECS = (
    DetectionRecipe(
        DetectorSpec(
            name="mien",
            version="1.3.0",
            summary="Mien's own face detector, trained on photographs and on pasted faces of FairFace and UTKFace.",
            options={"widths": (16, 32, 64, 96, 128), "depths": (1, 5, 4, 3)},
        ),
        epochs=60,
        start=SHIPPED,
        plain_share=0.8,
        learning_rate=1e-3,
    ),
)

DETECTION_RECIPES = {recipe.spec.name: recipe for recipe in _SPECS}
"""Recipes by the name of the detector they produce."""
