"""The specification of a model: network, crop, preprocessing, heads and weights file.

One JSON file beside each ONNX file holds a `ModelSpec`; training writes it, serving reads it.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mien_models.errors import ModelError

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""The seven classes of FER2013 (Goodfellow et al., arXiv 1307.0414), in that data set's order."""

OLDEST = 100
"""The last bin of an age distribution, in years; older people count as this old."""

Task = Literal["age", "gender", "emotion"]


_MOST_PROBLEMS = 3
"""Maximum number of problems in one message."""


def problems(error: ValidationError) -> str:
    """Return the first problems of a validation in one line, such as `heads.age.count: Field required`."""
    found = []
    for item in error.errors():
        name = ".".join(str(part) for part in item["loc"])
        given = f", not {item['input']!r}" if isinstance(item["input"], str | int | float) else ""
        found.append(f"{name}: {item['msg'].removeprefix('Value error, ')}{given}".removeprefix(": "))
    more = f"; and {len(found) - _MOST_PROBLEMS} more" if len(found) > _MOST_PROBLEMS else ""
    return "; ".join(found[:_MOST_PROBLEMS]) + more


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CropSpec(_Frozen):
    """The crop of a face: a square of `scale` x the box's height, rotated so that the eyes are level, then resized."""

    size: int = Field(ge=16, le=512)
    """Side of the crop, in pixels."""
    scale: float = Field(default=1.05, gt=0)
    """Side of the square as a multiple of the face box's height."""
    center_y: float = 0.475
    """Vertical position of the box's centre in the crop, as a fraction of the crop's height from its top."""


class InputSpec(_Frozen):
    """The preprocessing of a crop: colour order, then (x - shift) / scale."""

    colour: Literal["grey", "rgb", "bgr"] = "rgb"
    shift: float | tuple[float, float, float] = 0
    """One number, or one per channel in the order of `colour`."""
    scale: float | tuple[float, float, float] = 1

    @property
    def channels(self) -> int:
        """Channels of the network's input: 1 or 3."""
        return 1 if self.colour == "grey" else 3


LabelStyle = Literal["fer2013", "ferplus"]


class _Columns(_Frozen):
    first: int = Field(default=0, ge=0)
    """First output column of the head."""
    count: int = Field(ge=1)
    """Number of output columns."""


class EmotionHead(_Columns):
    """Softmax over `labels`."""

    kind: Literal["emotion"] = "emotion"
    count: int = len(EMOTIONS)
    labels: tuple[str, ...] = EMOTIONS
    style: LabelStyle = "fer2013"
    """Labels on which the head is trained: FER2013's, or the majority of FER+'s ten annotators."""
    temperature: float = 1.0

    @model_validator(mode="after")
    def _seven(self) -> Self:
        if sorted(self.labels) != sorted(EMOTIONS) or self.count != len(self.labels):
            raise ValueError(f"labels must be {', '.join(EMOTIONS)} in some order, and count their number")
        return self


class GenderHead(_Columns):
    """Probability of `male`, from one logit, from two class scores (female, male) or from a value in [0, 1]."""

    kind: Literal["gender"] = "gender"
    source: Literal["logit", "classes", "value"] = "logit"
    high: Literal["male", "female"] = "male"
    """The gender that a high logit or value, or the later class, stands for."""
    temperature: float = 1.0
    uncertain_below: float | None = Field(default=None, ge=0.5, lt=1)
    """Probability of the more probable gender below which the value is `uncertain`; None for no threshold."""


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
    """Name of the file, without a folder."""
    sha256: str
    bytes: int

    @field_validator("file")
    @classmethod
    def _beside(cls, file: str) -> str:
        if not file or {"/", "\\", ":", "\0"} & set(file) or file in {".", ".."}:
            raise ValueError("must be the name of a file in the folder of the specification, without a path")
        return file


class ModelSpec(_Frozen):
    """The specification of a model whose ONNX graph takes (N, S, S, 3) uint8 RGB crops."""

    name: str = Field(pattern=r"^\w[\w.+-]*$")
    """Name in the registry: letters, digits and any of `_.+-`."""
    version: str
    summary: str
    """One sentence: what the model is and what it was trained on."""
    architecture: str | None = None
    """The network in `mien_models.networks`, for the PyTorch runtime; None for a model that is only an ONNX file."""
    options: dict[str, int | float | tuple[int, ...]] = {}
    """Keyword arguments of the architecture's class."""
    parameters: int = 0
    crop: CropSpec
    input: InputSpec = InputSpec()
    """The network's input, which the ONNX graph computes from the crops."""
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
    """Batch size above which the time per crop hardly decreases (`benchmarks/batches.py`)."""
    weights: Weights | None = None
    """The float32 file. None only while the model is being trained."""
    int8: Weights | None = None
    """The INT8 file, which ONNX Runtime uses on processors with fast 8-bit instructions."""

    @classmethod
    def read(cls, path: Path) -> "ModelSpec":
        """Read a specification from its JSON file.

        Raises:
            ModelError: The file cannot be read, or is not a specification; the message contains the first problems.

        """
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except ValidationError as error:
            raise ModelError(f"{path} is not a model specification: {problems(error)}") from error
        except UnicodeDecodeError as error:
            raise ModelError(f"{path} is not a model specification: it is not text") from error
        except OSError as error:
            raise ModelError(f"model specification {path}: {error.strerror}") from error

    def write(self, path: Path) -> None:
        """Write the specification as JSON."""
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
