"""One training run as data: specification, data sets, augmentation, length.

Does not import PyTorch, so that listing models stays fast.
"""

from dataclasses import dataclass, field

from mien_models.spec import Head, ModelSpec, Task


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Strength of the augmentation. Boxes in serving are off by about 5 %; the ranges cover twice that."""

    scale: float = 0.12
    """Zoom, up to +- this fraction."""
    shift: float = 0.06
    """Shift along each axis, up to +- this fraction of the side."""
    rotation: float = 12.0
    """Rotation, up to +- this many degrees."""
    light: float = 0.3
    """Brightness and contrast, up to +- this fraction."""
    grey: float = 0.1
    """Fraction of faces converted to grey."""
    soften: float = 0.25
    """Fraction of faces with reduced resolution, as small or strongly compressed faces have."""
    noise: float = 0.15
    """Fraction of faces with sensor noise."""
    erase: float = 0.25
    """Fraction of faces with an occluding rectangle (a hand, a mask, a microphone)."""


@dataclass(frozen=True, slots=True)
class OtherModel:
    """A further model that the same run makes: the same network and the same file, other heads."""

    name: str
    summary: str
    heads: dict[Task, Head]


@dataclass(frozen=True, slots=True)
class Recipe:
    """One training run."""

    spec: ModelSpec
    data: tuple[str, ...]
    """Names of the zips, without `.zip`; their `train` parts are concatenated."""
    epochs: int
    others: tuple[OtherModel, ...] = ()
    int8: bool = False
    """Also export the models in 8-bit integers."""
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    batch: int = 128
    augmentation: Augmentation = field(default_factory=Augmentation)
    source_size: int = 80
    """Side to which the chips are resized; the augmentation crops the network's size from it."""
    sizes: tuple[int, ...] = ()
    """Crop sides of equal parts of the run, small ones first to save time (Tan & Le, arXiv 2104.00298)."""
    reduced: bool = True
    """Train in bfloat16 if the processor supports it efficiently."""

    @property
    def specs(self) -> tuple[ModelSpec, ...]:
        """The specifications of all models that the run makes, the recipe's own first."""
        others = (
            self.spec.model_copy(update={"name": other.name, "summary": other.summary, "heads": other.heads})
            for other in self.others
        )
        return (self.spec, *others)
