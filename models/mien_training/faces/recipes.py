"""Training recipes of all models that `mien models train` can make.

Does not import PyTorch, so that listing models stays fast.
"""

from collections.abc import Mapping

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
from mien_training.faces.recipe import Augmentation, OtherModel, Recipe

FACE = 1.05
"""FairFace and UTKFace chips are about 1.05 box heights high; FER2013's are one box height."""

_AGED = ("fairface", "utkface")
_EXPRESSIONS = ("fer2013",)
_CHIP = CropSpec(size=64, scale=FACE, center_y=0.475)
_CENTRED = InputSpec(colour="rgb", shift=127.5, scale=127.5)
_GREY = InputSpec(colour="grey", shift=127.5, scale=127.5)
_FER_CROP = CropSpec(size=48, scale=1.005, center_y=0.52)

_OWN = (
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
        _EXPRESSIONS,
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
)


_WEAK = Augmentation(soften=0.1, noise=0.1, erase=0.1)
_WEAK_GREY = Augmentation(grey=0, soften=0.1, noise=0.1, erase=0.1)
_UNCOVERED = Augmentation(soften=0.1, noise=0.1, erase=0)

_BYTES = InputSpec(colour="bgr", shift=0, scale=1)
_TWO_CLASSES = GenderHead(count=2, source="classes")


def _of_the_paper(
    name: str,
    summary: str,
    *,
    architecture: str,
    options: Mapping[str, int | float | tuple[int, ...]],
    heads: Mapping[Task, Head],
    network_input: InputSpec,
    augmentation: Augmentation,
    epochs: int,
    crop: CropSpec = _CHIP,
    data: tuple[str, ...] = _AGED,
    learning_rate: float = 2e-3,
    sizes: tuple[int, ...] = (),
    reduced: bool = True,
) -> Recipe:
    """Return the recipe of a network of the paper; FER2013's chips are used in their own size."""
    spec = ModelSpec(
        name=name,
        version="1.0.0",
        summary=f"The paper's {summary}.",
        architecture=architecture,
        options=dict(options),
        crop=crop,
        input=network_input,
        heads=dict(heads),
    )
    return Recipe(
        spec,
        data,
        epochs=epochs,
        learning_rate=learning_rate,
        augmentation=augmentation,
        source_size=48 if data == _EXPRESSIONS else 80,
        sizes=sizes,
        reduced=reduced,
    )


_PAPER = (
    _of_the_paper(
        "mini-xception-emotion",
        "mini-Xception for emotion, trained here on FER2013",
        architecture="mini_xception",
        options={"outputs": 7},
        crop=_FER_CROP.model_copy(update={"size": 64}),
        network_input=_GREY,
        heads={"emotion": EmotionHead(count=7)},
        data=_EXPRESSIONS,
        epochs=8,
        learning_rate=4e-3,
        augmentation=_WEAK_GREY,
    ),
    _of_the_paper(
        "mini-xception-gender",
        "mini-Xception for gender, trained here on FairFace and UTKFace",
        architecture="mini_xception",
        options={"outputs": 2},
        network_input=_GREY,
        heads={"gender": _TWO_CLASSES},
        epochs=2,
        learning_rate=4e-3,
        augmentation=_WEAK_GREY,
    ),
    _of_the_paper(
        "ssrnet-age",
        "SSR-Net for age, trained here on FairFace and UTKFace",
        architecture="ssrnet",
        options={"span": 101.0},
        network_input=_BYTES,
        heads={"age": AgeValueHead()},
        epochs=6,
        augmentation=_WEAK,
        reduced=False,
    ),
    _of_the_paper(
        "ssrnet-gender",
        "SSR-Net for gender, trained here on FairFace and UTKFace",
        architecture="ssrnet",
        options={"span": 1.0},
        network_input=_BYTES,
        heads={"gender": GenderHead(count=1, source="value")},
        epochs=2,
        augmentation=_WEAK,
        reduced=False,
    ),
    _of_the_paper(
        "emotion-dcnn",
        "deep convolutional net for emotion (Correa et al.), trained here on FER2013",
        architecture="emotion_dcnn",
        options={"outputs": 7},
        crop=_FER_CROP,
        network_input=InputSpec(colour="grey", shift=0, scale=255),
        heads={"emotion": EmotionHead(count=7)},
        data=_EXPRESSIONS,
        epochs=8,
        learning_rate=3e-4,
        augmentation=Augmentation(grey=0, soften=0.1, noise=0.1, erase=0),
    ),
    _of_the_paper(
        "simple-cnn-gender",
        "simple CNN for gender (Arriaga et al.), trained here on FairFace and UTKFace",
        architecture="simple_cnn",
        options={"outputs": 2},
        crop=_CHIP.model_copy(update={"size": 48}),
        network_input=InputSpec(colour="rgb", shift=0, scale=255),
        heads={"gender": _TWO_CLASSES},
        epochs=5,
        augmentation=_UNCOVERED,
    ),
    _of_the_paper(
        "vgg16-age-gender",
        "VGG-16 body for age and gender (Pakulich et al.), trained here on UTKFace at 64x64",
        architecture="vgg16",
        options={"outputs": 102},
        network_input=_CENTRED,
        heads={"age": AgeDistributionHead(), "gender": GenderHead(first=101, count=1)},
        data=("utkface",),
        epochs=6,
        learning_rate=3e-4,
        sizes=(32, 64),
        augmentation=_UNCOVERED,
    ),
)

RECIPES = {recipe.spec.name: recipe for recipe in (*_OWN, *_PAPER)}
"""Recipes by the name of the model they produce."""
