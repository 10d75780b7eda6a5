"""How each detector is trained: its specification, its data, the length of the run. Needs no PyTorch."""

from dataclasses import dataclass

from mien_models.detectors.spec import DetectorSpec


@dataclass(frozen=True, slots=True)
class DetectionRecipe:
    """One training run of a detector."""

    spec: DetectorSpec
    epochs: int
    photographs: str = "detect"
    """Name of the zip with photographs, without `.zip`."""
    chips: tuple[str, ...] = ("fairface", "utkface")
    """Names of the zips whose faces are pasted into them."""
    chip_limit: int = 16_000
    """How many of these faces are looked at."""
    steps: int = 100
    """Batches of an epoch; scenes are made anew for each, so an epoch is only the time between two checkpoints."""
    plain_share: float = 0.33
    """Share of the run, its end, that learns from plain crops: mosaics and pasted faces help at first, then distract
    (as YOLOX does, Ge et al., arXiv 2107.08430)."""
    sizes: tuple[int, ...] = (256, 320, 320, 416)
    """Sides of the scenes, one chosen for each batch, in pixels."""
    pixels: int = 16 * 320 * 320
    """Pixels of a batch, about."""
    false_share: float = 0.05
    """Boxes that are no face, for each photograph of `val`, that the threshold lets through; YuNet's are as many."""
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warm_up: int = 300
    """Steps in which the learning rate rises."""


_SPECS = (
    DetectionRecipe(
        DetectorSpec(
            name="mien",
            version="1.2.0",
            summary="Mien's own face detector, trained on photographs and on pasted faces of FairFace and UTKFace.",
            options={"widths": (16, 32, 64, 96, 128), "depths": (1, 5, 4, 3)},
        ),
        epochs=170,
    ),
)

DETECTION_RECIPES = {recipe.spec.name: recipe for recipe in _SPECS}
"""Recipes by the name of the detector that they make."""
