"""The validated configuration of a stream."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from mien.v1 import face_service_pb2 as pb
from mien.video.options import check_config
from mien_models.spec import Task

HALF_LIFE_MS = 200.0
"""Default half-life of earlier expressions."""

DETECTION_INTERVAL = 5
"""Default interval of the detector, in frames."""

INTERVALS_MS: Mapping[Task, float] = {"age": 1000.0, "gender": 1000.0, "emotion": 300.0}
"""Default time between two calls of a task's model for one face."""


@dataclass(frozen=True, slots=True)
class VideoConfig:
    """How a stream is analyzed; see `StreamConfig` of the protos."""

    tasks: Sequence[Task]
    max_faces: int
    half_life_ms: float
    detection_interval: int
    intervals_ms: Mapping[Task, float]
    latest: bool
    """Whether frames that arrive faster than they are analyzed are dropped."""
    state: bytes
    """State of the stream to resume; empty for a new stream."""
    send_state: bool
    """Whether replies carry the state."""

    @classmethod
    def read(cls, message: pb.StreamConfig, tasks: Sequence[Task], max_faces: int) -> Self:
        """Read a configuration.

        Args:
            message: The configuration.
            tasks: The requested tasks.
            max_faces: Maximum number of faces.

        Raises:
            InvalidRequestError: A value is out of its range.

        """
        check_config(message)
        intervals = {task: message.attribute_intervals_ms.get(task, INTERVALS_MS[task]) for task in tasks}
        smooths, detects = message.HasField("smoothing_half_life_ms"), message.HasField("detection_interval")
        return cls(
            tasks=tasks,
            max_faces=max_faces,
            half_life_ms=message.smoothing_half_life_ms if smooths else HALF_LIFE_MS,
            detection_interval=message.detection_interval if detects else DETECTION_INTERVAL,
            intervals_ms=intervals,
            latest=message.drop_policy == pb.DROP_POLICY_LATEST,
            state=message.state,
            send_state=message.send_state,
        )
