"""Recipes of the kits: faces, compression of their images, and teachers.

Does not import PyTorch.
"""

from dataclasses import dataclass

from mien_training.faces.recipe import Augmentation, Recipe
from mien_training.faces.recipes import RECIPES


@dataclass(frozen=True, slots=True)
class Source:
    """One labelled zip in a kit."""

    name: str
    """The zip's name, without `.zip`."""
    quality: int
    """WebP quality of the packed images, 1 to 100."""
    weight: float = 1.0
    """Sampling weight of its faces, relative to the other sources."""
    foreign: bool = False
    """Whether the labels have another style: the teacher learns them in a separate head, the student does not."""


@dataclass(frozen=True, slots=True)
class KitRecipe:
    """One kit: the served model that it trains, and its teachers."""

    name: str
    student: Recipe
    sources: tuple[Source, ...]
    widths: tuple[int, ...]
    """Channels of each stage of a teacher, a `ResidualNet`."""
    depths: tuple[int, ...]
    stem_stride: int
    teachers: int
    """Number of teachers, which differ in their seeds; the student learns from their mean answer."""
    augmentation: Augmentation
    batch: int = 512
    """Faces in a step."""
    teacher_share: float = 0.5
    """Share of the time for all teachers together."""


_RECIPES = (
    KitRecipe(
        "emotion",
        student=RECIPES["mien-emotion"],
        sources=(
            Source("fer2013", quality=90),
            Source("effectnet", quality=78, weight=0.4, foreign=True),
            Source("facial_expressions", quality=78, weight=0.4, foreign=True),
        ),
        widths=(64, 128, 256, 512),
        depths=(1, 2, 3, 2),
        stem_stride=1,
        teachers=2,
        augmentation=Augmentation(scale=0.12, shift=0.06, rotation=14, grey=0, soften=0.15, noise=0.15, erase=0.35),
    ),
    KitRecipe(
        "age-gender",
        student=RECIPES["mien-age-gender"],
        sources=(Source("fairface", quality=66), Source("utkface", quality=66, weight=1.5)),
        widths=(64, 128, 256, 512),
        depths=(2, 3, 4, 2),
        stem_stride=2,
        teachers=1,
        augmentation=Augmentation(scale=0.12, shift=0.06, rotation=14, soften=0.2, noise=0.15, erase=0.25),
    ),
)

KITS = {recipe.name: recipe for recipe in _RECIPES}
"""Kits by name."""
