"""A server's limits, models and model cards, converted from the protobuf responses."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

from mien.types.model_info import ModelInfo, model_info
from mien.types.rollout import Rollout, rollout
from mien.v1 import face_service_pb2

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
    detector: ModelInfo
    max_image_bytes: int
    max_image_pixels: int
    max_faces: int
    min_face_px: float
    """Smallest height of a face's box, in pixels of the upright image; smaller faces get no predictions."""
    min_sharpness: float
    """Smallest sharpness, 0 to 1; faces below it get no predictions."""
    models: Mapping[str, ModelInfo]
    """The model of each task."""
    rollouts: Mapping[str, Rollout]
    """The tasks that have a canary or a shadow."""

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
            rollouts={task: rollout(message.rollouts[task]) for task in message.tasks if task in message.rollouts},
        )


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
