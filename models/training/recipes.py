"""How each shipped model is trained: its specification, its data and the length of the run."""

from dataclasses import dataclass, field

from augment import Augmentation
from mien_models.spec import (
    AgeDistributionHead,
    AgeValueHead,
    CropSpec,
    EmotionHead,
    GenderHead,
    InputSpec,
    ModelSpec,
)

FACE = 1.05
"""FairFace and UTKFace chips are about 1.05 x as high as the face box; FER2013's are as high as the box."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One training run."""

    spec: ModelSpec
    data: tuple[str, ...]
    """Names of the zips, without `.zip`; their `train` parts are joined."""
    epochs: int
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    batch: int = 128
    augmentation: Augmentation = field(default_factory=Augmentation)
    source_size: int = 80
    """Side to which the chips are read; the augmentation cuts the network's size from it."""
    reduced: bool = True
    """Train in bfloat16 where the machine multiplies it quickly."""


_AGED = ("fairface", "utkface")
_CENTRED = InputSpec(colour="rgb", shift=127.5, scale=127.5)
_GREY = InputSpec(colour="grey", shift=127.5, scale=127.5)
_FER_CROP = CropSpec(size=48, scale=1.005, center_y=0.52)

_SPECS = (
    Recipe(
        ModelSpec(
            name="mien-age-gender",
            version="1.0.0",
            summary="Mien's residual net for age and gender together, trained on FairFace and UTKFace.",
            architecture="residual",
            options={
                "channels": 3,
                "outputs": 102,
                "stem_stride": 2,
                "dropout": 0.2,
                "widths": (32, 64, 128, 176),
                "depths": (1, 2, 2, 1),
            },
            crop=CropSpec(size=64, scale=FACE, center_y=0.475),
            input=_CENTRED,
            flip=True,
            heads={"age": AgeDistributionHead(), "gender": GenderHead(first=101, count=1)},
        ),
        _AGED,
        epochs=16,
    ),
    Recipe(
        ModelSpec(
            name="mien-emotion",
            version="1.0.0",
            summary="Mien's residual net for emotion, trained on FER2013 with its own and the FER+ labels.",
            architecture="residual",
            options={
                "channels": 1,
                "outputs": 14,
                "dropout": 0.3,
                "widths": (24, 48, 96, 160),
                "depths": (1, 1, 2, 1),
            },
            crop=_FER_CROP,
            input=_GREY,
            flip=True,
            heads={"emotion": EmotionHead(count=14, mix=(0.5, 0.5))},
        ),
        ("fer2013",),
        epochs=32,
        source_size=48,
        augmentation=Augmentation(grey=0, soften=0.1, noise=0.1),
    ),
    Recipe(
        ModelSpec(
            name="mini-xception-emotion",
            version="1.0.0",
            summary="The paper's mini-Xception for emotion, trained here on FER2013.",
            architecture="mini_xception",
            options={"outputs": 7},
            crop=_FER_CROP.model_copy(update={"size": 64}),
            input=_GREY,
            heads={"emotion": EmotionHead(count=7)},
        ),
        ("fer2013",),
        epochs=8,
        learning_rate=4e-3,
        source_size=48,
        augmentation=Augmentation(grey=0, soften=0.1, noise=0.1, erase=0.1),
    ),
    Recipe(
        ModelSpec(
            name="mini-xception-gender",
            version="1.0.0",
            summary="The paper's mini-Xception for gender, trained here on FairFace and UTKFace.",
            architecture="mini_xception",
            options={"outputs": 2},
            crop=CropSpec(size=64, scale=FACE, center_y=0.475),
            input=_GREY,
            heads={"gender": GenderHead(count=2, source="classes")},
        ),
        _AGED,
        epochs=2,
        learning_rate=4e-3,
        augmentation=Augmentation(grey=0, soften=0.1, noise=0.1, erase=0.1),
    ),
    Recipe(
        ModelSpec(
            name="ssrnet-age",
            version="1.0.0",
            summary="The paper's SSR-Net for age, trained here on FairFace and UTKFace.",
            architecture="ssrnet",
            options={"span": 101.0},
            crop=CropSpec(size=64, scale=FACE, center_y=0.475),
            input=InputSpec(colour="bgr", shift=0, scale=1),
            heads={"age": AgeValueHead()},
        ),
        _AGED,
        epochs=6,
        augmentation=Augmentation(soften=0.1, noise=0.1, erase=0.1),
        reduced=False,
    ),
    Recipe(
        ModelSpec(
            name="ssrnet-gender",
            version="1.0.0",
            summary="The paper's SSR-Net for gender, trained here on FairFace and UTKFace.",
            architecture="ssrnet",
            options={"span": 1.0},
            crop=CropSpec(size=64, scale=FACE, center_y=0.475),
            input=InputSpec(colour="bgr", shift=0, scale=1),
            heads={"gender": GenderHead(count=1, source="value")},
        ),
        _AGED,
        epochs=2,
        augmentation=Augmentation(soften=0.1, noise=0.1, erase=0.1),
        reduced=False,
    ),
)

RECIPES = {recipe.spec.name: recipe for recipe in _SPECS}
"""Recipes by the name of the model that they make."""
