"""What a model is, as data: its network, the crop it wants, how its scores become answers, where its weights lie.

One JSON file beside each ONNX file holds a `ModelSpec`; training writes it, serving reads it.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""The seven classes of FER2013 (Goodfellow et al., arXiv 1307.0414), in that data set's order."""

OLDEST = 100
"""The last bin of an age distribution, in years; older people count as this old."""

Task = Literal["age", "gender", "emotion"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CropSpec(_Frozen):
    """How a face is cut: a square of `scale` x the box's height, levelled by the eyes, resized to `size` pixels."""

    size: int = Field(ge=16, le=512)
    """Side of the crop, in pixels."""
    scale: float = Field(default=1.05, gt=0)
    """Side of the square as a multiple of the face box's height."""
    center_y: float = 0.475
    """Where the box's centre comes to lie, as a fraction of the crop's height from its top."""


class InputSpec(_Frozen):
    """How a crop's bytes become the network's numbers: colour order, then (x - shift) / scale."""

    colour: Literal["grey", "rgb", "bgr"]
    shift: float
    scale: float

    @property
    def channels(self) -> int:
        """Channels of the network's input: 1 or 3."""
        return 1 if self.colour == "grey" else 3


LabelStyle = Literal["fer2013", "ferplus"]


class _Columns(_Frozen):
    first: int = 0
    """First of the network's output columns that belong to this head."""
    count: int
    """How many there are."""


class EmotionHead(_Columns):
    """Softmax over `labels`."""

    kind: Literal["emotion"] = "emotion"
    count: int = len(EMOTIONS)
    labels: tuple[str, ...] = EMOTIONS
    style: LabelStyle = "fer2013"
    """Whose answers it gives: those of FER2013's labels, or of the majority of FER+'s ten annotators."""
    temperature: float = 1.0


class GenderHead(_Columns):
    """Probability of `male`, from one logit, from two class scores (female, male) or from a value in [0, 1]."""

    kind: Literal["gender"] = "gender"
    source: Literal["logit", "classes", "value"] = "logit"
    high: Literal["male", "female"] = "male"
    """The gender that a high logit or value, or the later class, stands for."""
    temperature: float = 1.0


class AgeDistributionHead(_Columns):
    """Softmax over the years 0 to 100: the mean, and the quantiles `lower` and `upper` as the range."""

    kind: Literal["age_distribution"] = "age_distribution"
    count: int = OLDEST + 1
    temperature: float = 1.0
    lower: float = 0.1
    upper: float = 0.9


class AgeValueHead(_Columns):
    """One number of years; the range is years -+ (`margin` + `slope` x years), fitted on the validation split."""

    kind: Literal["age_value"] = "age_value"
    count: int = 1
    margin: float = 8.0
    slope: float = 0.1


Head = Annotated[EmotionHead | GenderHead | AgeDistributionHead | AgeValueHead, Field(discriminator="kind")]


class Weights(_Frozen):
    """The file that holds a model's weights, beside its specification."""

    file: str
    sha256: str
    bytes: int


class ModelSpec(_Frozen):
    """All that serving needs to know of a model. Its ONNX graph takes (N, S, S, 3) uint8 RGB crops."""

    name: str
    version: str
    summary: str
    """One sentence for people: what it is and what it was trained on."""
    architecture: Literal["emotion_dcnn", "mini_xception", "residual", "simple_cnn", "ssrnet", "vgg16"]
    options: dict[str, int | float | tuple[int, ...]]
    """Keyword arguments of the architecture's class."""
    parameters: int = 0
    crop: CropSpec
    input: InputSpec
    flip: bool = False
    """Whether the graph averages the scores of a crop and of its mirror image."""
    half: bool = False
    """Whether the file holds the kernels as 16-bit floats, half as large; they are widened when it is loaded."""
    heads: dict[Task, Head]
    """The tasks that the model answers."""
    outputs: dict[str, str] = {}
    """The graph's outputs, by the answer that each gives, where they have other names than the answers: several models
    may share one file."""
    best_batch: int = Field(default=16, ge=1)
    """Crops that one call best carries: with more of them a crop costs hardly less (`benchmarks/batches.py`)."""
    weights: Weights | None = None
    """The file in float32. None only while the model is being trained."""
    int8: Weights | None = None
    """The same model in 8-bit integers: ONNX Runtime takes it on processors that multiply them quickly."""

    @classmethod
    def read(cls, path: Path) -> "ModelSpec":
        """Read a specification from its JSON file; raises `pydantic.ValidationError` where it is not one."""
        return cls.model_validate_json(path.read_text(encoding="utf-8"))

    def write(self, path: Path) -> None:
        """Write the specification as JSON."""
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
