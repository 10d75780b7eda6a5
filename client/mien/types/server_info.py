"""A server's limits, models and model cards, converted from the protobuf responses."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

from mien.v1 import face_pb2, face_service_pb2

DeploymentMode = Literal["embedded", "single", "cluster"]

_MODES: dict[int, DeploymentMode] = {
    face_service_pb2.DEPLOYMENT_MODE_EMBEDDED: "embedded",
    face_service_pb2.DEPLOYMENT_MODE_SINGLE: "single",
    face_service_pb2.DEPLOYMENT_MODE_CLUSTER: "cluster",
}


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """A server's version, tasks, formats and limits."""

    version: str
    deployment_mode: DeploymentMode | None
    """How the server runs its models; None for a mode unknown to this version."""
    tasks: tuple[str, ...]
    formats: tuple[str, ...]
    detector: "ModelInfo"
    max_image_bytes: int
    max_image_pixels: int
    max_faces: int
    min_face_px: float
    """Smallest height of a face's box, in pixels of the upright image; smaller faces get no predictions."""
    min_sharpness: float
    """Smallest sharpness, 0 to 1; faces below it get no predictions."""
    models: Mapping[str, "ModelInfo"]
    """The model of each task."""

    @classmethod
    def from_message(cls, message: face_service_pb2.GetServerInfoResponse) -> Self:
        """Convert a protobuf response."""
        return cls(
            version=message.version,
            deployment_mode=_MODES.get(message.deployment_mode),
            tasks=tuple(message.tasks),
            formats=tuple(message.formats),
            detector=model_info(message.detector),
            max_image_bytes=message.max_image_bytes,
            max_image_pixels=message.max_image_pixels,
            max_faces=message.max_faces,
            min_face_px=message.min_face_px,
            min_sharpness=message.min_sharpness,
            models={task: model_info(message.models[task]) for task in message.tasks if task in message.models},
        )


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model or a detector."""

    name: str
    version: str
    digest: str
    """`sha256:` and the SHA-256 of the weights file."""
    tasks: tuple[str, ...]
    labels: tuple[str, ...]
    summary: str
    is_default: bool
    parameters: int
    device: str = ""
    """The device, such as `cuda:0 (CUDAExecutionProvider)`; empty for a model that is not in use."""
    gender_uncertain_below: float | None = None
    """Probability below which a gender is `uncertain`, 0.5 to 1; None if the model always returns the more probable."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model card; `str()` returns its Markdown."""

    model: ModelInfo
    markdown: str
    """Metrics by group, calibration, cost, data and terms, intended and excluded uses."""

    @classmethod
    def from_message(cls, message: face_service_pb2.GetModelCardResponse) -> Self:
        """Convert a protobuf response."""
        return cls(model_info(message.model), message.markdown)

    def __str__(self) -> str:
        return self.markdown


def model_info(message: face_pb2.ModelInfo) -> ModelInfo:
    """Convert a model's description."""
    return ModelInfo(
        name=message.name,
        version=message.version,
        digest=message.digest,
        tasks=tuple(message.tasks),
        labels=tuple(message.labels),
        summary=message.summary,
        is_default=message.is_default,
        parameters=message.parameters,
        device=message.device,
        gender_uncertain_below=message.gender_uncertain_below if message.HasField("gender_uncertain_below") else None,
    )
