"""Convert models and detectors to messages."""

from mien.v1 import face_pb2
from mien_models.detectors import DetectorInfo
from mien_models.registry import DEFAULTS, Entry
from mien_models.spec import EmotionHead, GenderHead


def model_info(entry: Entry, device: str = "") -> face_pb2.ModelInfo:
    """Convert a registry entry to a message with name, version, digest and tasks; `device` is where it runs."""
    spec = entry.spec
    gender = spec.heads.get("gender")
    return face_pb2.ModelInfo(
        name=spec.name,
        version=spec.version,
        digest=entry.digest,
        tasks=list(spec.heads),
        labels=_emotion_labels(entry),
        summary=spec.summary,
        is_default=spec.name in DEFAULTS.values(),
        parameters=spec.parameters,
        device=device,
        gender_uncertain_below=gender.uncertain_below if isinstance(gender, GenderHead) else None,
    )


def _emotion_labels(entry: Entry) -> tuple[str, ...]:
    """Return the labels of a model's emotion head, or an empty tuple."""
    head = entry.spec.heads.get("emotion")
    return head.labels if isinstance(head, EmotionHead) else ()


def detector_info(detector: DetectorInfo) -> face_pb2.ModelInfo:
    """Convert a detector to a message with name, version and digest."""
    return face_pb2.ModelInfo(
        name=detector.name, version=detector.version, digest=detector.digest, device=detector.device
    )
