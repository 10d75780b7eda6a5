"""The properties of a user's model, and the specification that follows from them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mien_models.errors import ModelError
from mien_models.spec import EMOTIONS, CropSpec, Head, ModelSpec, Task

Colour = Literal["grey", "rgb", "bgr"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnModel:
    """Properties of a model that its ONNX file does not state: tasks, preprocessing, labels."""

    tasks: tuple[Task, ...]
    name: str | None = None
    """Name in the registry; None for that of the file."""
    outputs: Mapping[Task, str] = field(default_factory=dict)
    """The output of each task, if there are several that could be."""
    colour: Colour | None = None
    """Order of the input's channels; None for RGB, or grey if there is one channel."""
    shift: float | tuple[float, float, float] = 0
    """Subtracted from pixel values of 0 to 255."""
    scale: float | tuple[float, float, float] = 255
    """The difference is divided by it."""
    size: int | None = None
    """Side of the input in pixels, if the file leaves it open."""
    crop_scale: float = CropSpec.model_fields["scale"].default
    """Side of the crop as a multiple of the height of the face's box."""
    crop_center_y: float = CropSpec.model_fields["center_y"].default
    """Height of the box's centre in the crop, as a fraction from its top."""
    labels: tuple[str, ...] = EMOTIONS
    """The emotions, in the order of the columns."""
    high: Literal["male", "female"] = "male"
    """Gender that a high value, or the second of two columns, stands for."""
    years: float = 1
    """Years that an age output of 1 stands for, such as 100."""
    summary: str | None = None
    """One sentence about the model."""

    def check_labels(self) -> None:
        """Raise `ModelError` unless the labels are the seven emotions."""
        if "emotion" in self.tasks and sorted(self.labels) != sorted(EMOTIONS):
            raise ModelError(f"the labels must be {', '.join(EMOTIONS)}, in the order of the output's columns")


def specification(name: str, path: Path, own: OwnModel, crop: CropSpec, heads: Mapping[Task, Head]) -> ModelSpec:
    """Return the specification of a model, without its weights and version."""
    return ModelSpec(
        name=name,
        version="0",
        summary=own.summary or f"{' and '.join(own.tasks).capitalize()} by a model of this installation, {path.name}.",
        crop=crop,
        heads=dict(heads),
    )


def crop_of(own: OwnModel, size: int) -> CropSpec:
    """Return the crop of a model whose input is `size` pixels wide; raises `ModelError` for a size out of range."""
    lowest, highest = (CropSpec.model_json_schema()["properties"]["size"][key] for key in ("minimum", "maximum"))
    if not lowest <= size <= highest:
        raise ModelError(f"the input is {size} pixels wide; models take crops of {lowest} to {highest} pixels")
    return CropSpec(size=size, scale=own.crop_scale, center_y=own.crop_center_y)
