"""A model, converted from the protobuf message."""

from dataclasses import dataclass

from mien.v1 import face_pb2


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
