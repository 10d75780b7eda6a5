"""Training recipes of the models: specification, data, augmentation, length of the run.

Does not import PyTorch, so that listing models stays fast.
"""

from dataclasses import dataclass, field

from mien_models.spec import (
    AgeDistributionHead,
    AgeValueHead,
    CropSpec,
    EmotionHead,
    GenderHead,
    Head,
    InputSpec,
    ModelSpec,
    Task,
)

FACE = 1.05
"""FairFace and UTKFace chips are about 1.05 box heights high; FER2013's are one box height."""


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


_AGED = ("fairface", "utkface")
_CHIP = CropSpec(size=64, scale=FACE, center_y=0.475)
_CENTRED = InputSpec(colour="rgb", shift=127.5, scale=127.5)
_GREY = InputSpec(colour="grey", shift=127.5, scale=127.5)
_FER_CROP = CropSpec(size=48, scale=1.005, center_y=0.52)

_SPECS = (
    Recipe(
        ModelSpec(
            name="mien-age-gender",
            version="2.0.0",
            summary="Mien's residual net for age and gender together, trained on FairFace and UTKFace.",
            architecture="residual",
            options={
                "channels": 3,
                "outputs": 102,
                "stem_stride": 2,
                "reduction": 8,
                "dropout": 0.1,
                "widths": (32, 64, 128, 256),
                "depths": (1, 2, 2, 1),
            },
            crop=_CHIP.model_copy(update={"size": 80}),
            input=_CENTRED,
            half=True,
            heads={"age": AgeDistributionHead(), "gender": GenderHead(first=101, count=1)},
        ),
        _AGED,
        epochs=21,
        int8=True,
        sizes=(48, 64, 80),
        augmentation=Augmentation(soften=0.2, noise=0.1, erase=0.1),
    ),
    Recipe(
        ModelSpec(
            name="mien-emotion",
            version="2.1.0",
            summary="Mien's residual net for emotion: answers as most of FER+'s ten annotators would.",
            architecture="residual",
            options={
                "channels": 1,
                "outputs": 14,
                "reduction": 8,
                "dropout": 0.2,
                "widths": (32, 64, 128, 256),
                "depths": (1, 1, 2, 1),
            },
            crop=_FER_CROP,
            input=_GREY,
            half=True,
            heads={"emotion": EmotionHead(first=7, style="ferplus")},
        ),
        ("fer2013",),
        int8=True,
        others=(
            OtherModel(
                name="mien-emotion-fer2013",
                summary="The network of mien-emotion with its other head: answers in the style of FER2013's labels.",
                heads={"emotion": EmotionHead()},
            ),
        ),
        epochs=39,
        source_size=48,
        sizes=(32, 40, 48),
        augmentation=Augmentation(scale=0.1, rotation=10, grey=0, soften=0.1, noise=0.1, erase=0.1),
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
            crop=_CHIP,
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
            crop=_CHIP,
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
            crop=_CHIP,
            input=InputSpec(colour="bgr", shift=0, scale=1),
            heads={"gender": GenderHead(count=1, source="value")},
        ),
        _AGED,
        epochs=2,
        augmentation=Augmentation(soften=0.1, noise=0.1, erase=0.1),
        reduced=False,
    ),
    Recipe(
        ModelSpec(
            name="emotion-dcnn",
            version="1.0.0",
            summary="The paper's deep convolutional net for emotion (Correa et al.), trained here on FER2013.",
            architecture="emotion_dcnn",
            options={"outputs": 7},
            crop=_FER_CROP,
            input=InputSpec(colour="grey", shift=0, scale=255),
            heads={"emotion": EmotionHead(count=7)},
        ),
        ("fer2013",),
        epochs=8,
        learning_rate=3e-4,
        source_size=48,
        augmentation=Augmentation(grey=0, soften=0.1, noise=0.1, erase=0),
    ),
    Recipe(
        ModelSpec(
            name="simple-cnn-gender",
            version="1.0.0",
            summary="The paper's simple CNN for gender (Arriaga et al.), trained here on FairFace and UTKFace.",
            architecture="simple_cnn",
            options={"outputs": 2},
            crop=_CHIP.model_copy(update={"size": 48}),
            input=InputSpec(colour="rgb", shift=0, scale=255),
            heads={"gender": GenderHead(count=2, source="classes")},
        ),
        _AGED,
        epochs=5,
        augmentation=Augmentation(soften=0.1, noise=0.1, erase=0),
    ),
    Recipe(
        ModelSpec(
            name="vgg16-age-gender",
            version="1.0.0",
            summary="The paper's VGG-16 body for age and gender (Pakulich et al.), trained here on UTKFace at 64x64.",
            architecture="vgg16",
            options={"outputs": 102},
            crop=_CHIP,
            input=_CENTRED,
            heads={"age": AgeDistributionHead(), "gender": GenderHead(first=101, count=1)},
        ),
        ("utkface",),
        epochs=6,
        learning_rate=3e-4,
        sizes=(32, 64),
        augmentation=Augmentation(soften=0.1, noise=0.1, erase=0),
    ),
)

RECIPES = {recipe.spec.name: recipe for recipe in _SPECS}
"""Recipes by the name of the model they produce."""
