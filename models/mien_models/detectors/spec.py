"""The specification of Mien's detector networks, stored as JSON beside the ONNX file."""

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mien_models.errors import DetectorError
from mien_models.spec import Weights, problems

SHIPPED = Path(__file__).parent / "weights" / "mien.json"
"""The specification of the shipped detector."""


class DetectorSpec(BaseModel):
    """A detector whose ONNX graph takes `image` (1, H, W, 3) uint8 RGB, H and W multiples of 32.

    The graph returns `scores` (P,) in [0, 1] and `shapes` (14, P), as `mien_models.detectors.dense` reads them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str
    summary: str
    """One sentence: what it is and what it was trained on."""
    architecture: Literal["face_net"] = "face_net"
    options: dict[str, tuple[int, ...]]
    """Keyword arguments of the architecture's class."""
    parameters: int = 0
    min_score: float = Field(default=0.5, gt=0, lt=1)
    """Score threshold, chosen on the validation split."""
    max_overlap: float = Field(default=0.4, gt=0, lt=1)
    """IoU threshold of the non-maximum suppression."""
    weights: Weights | None = None
    """None only during training."""

    def write(self, path: Path) -> None:
        """Write the specification as JSON."""
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read(path: Path) -> tuple[DetectorSpec, bytes]:
    """Return a specification and the verified bytes of its ONNX file; raises `DetectorError`."""
    try:
        spec = DetectorSpec.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DetectorError(
            f"the detector's file {path} cannot be read ({error.strerror}): set detector.path to a specification that "
            "`mien models train mien` wrote, or leave it unset for the shipped detector"
        ) from error
    except (ValidationError, UnicodeDecodeError) as error:
        reason = problems(error) if isinstance(error, ValidationError) else "it is not text"
        raise DetectorError(f"{path} is not a detector's specification: {reason}") from error
    if spec.weights is None:
        raise DetectorError(f"{path} has no weights: train the detector again")
    file = path.parent / spec.weights.file
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DetectorError(f"the detector's weights {file} cannot be read: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != spec.weights.sha256:
        raise DetectorError(
            f"{file} is damaged or was changed (its SHA-256 differs from the specification's): reinstall mien or "
            "train the detector again"
        )
    return spec, data
