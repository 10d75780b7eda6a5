"""The configuration of a stream, checked."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from mien.errors import InvalidRequestError
from mien.v1 import face_service_pb2 as pb
from mien_models.spec import Task

HALF_LIFE_MS = 200.0
"""Default time after which an earlier expression counts half."""

DETECTION_INTERVAL = 5
"""Default number of frames from one run of the detector to the next."""

INTERVALS_MS: Mapping[Task, float] = {"age": 1000.0, "gender": 1000.0, "emotion": 300.0}
"""Default time between two calls of a task's model for one face."""

_MAX_HALF_LIFE_MS = 10_000
_MAX_DETECTION_INTERVAL = 100
_MAX_INTERVAL_MS = 60_000


@dataclass(frozen=True, slots=True)
class VideoConfig:
    """How a stream is analyzed; see `StreamConfig` of the protos."""

    tasks: Sequence[Task]
    max_faces: int
    half_life_ms: float
    detection_interval: int
    intervals_ms: Mapping[Task, float]
    latest: bool
    """Whether frames that come too fast are dropped."""
    state: bytes
    """State of the stream that goes on; empty for a new one."""
    send_state: bool
    """Whether replies carry the state."""

    @classmethod
    def read(cls, message: pb.StreamConfig, tasks: Sequence[Task], max_faces: int) -> Self:
        """Read a configuration.

        Args:
            message: The configuration.
            tasks: Its tasks, which are served.
            max_faces: Its most faces.

        Raises:
            InvalidRequestError: A value is out of its range.

        """
        half_life = HALF_LIFE_MS
        if message.HasField("smoothing_half_life_ms"):
            half_life = _within("smoothing_half_life_ms", message.smoothing_half_life_ms, 0, _MAX_HALF_LIFE_MS)
        every = DETECTION_INTERVAL
        if message.HasField("detection_interval"):
            every = int(_within("detection_interval", message.detection_interval, 1, _MAX_DETECTION_INTERVAL))
        if message.drop_policy not in pb.DropPolicy.values():
            names = ", ".join(pb.DropPolicy.keys())
            raise _invalid(f"unknown drop_policy {message.drop_policy}; use one of {names}")
        intervals = {task: INTERVALS_MS[task] for task in tasks}
        for name, value in message.attribute_intervals_ms.items():
            task = next((task for task in INTERVALS_MS if task == name), None)
            if task is None:
                raise _invalid(f"attribute_intervals_ms: unknown task {name[:80]!r}; use {', '.join(INTERVALS_MS)}")
            _within(f"attribute_intervals_ms of {name}", value, 0, _MAX_INTERVAL_MS)
            if task in intervals:
                intervals[task] = value
        return cls(
            tasks=tasks,
            max_faces=max_faces,
            half_life_ms=half_life,
            detection_interval=every,
            intervals_ms=intervals,
            latest=message.drop_policy == pb.DROP_POLICY_LATEST,
            state=message.state,
            send_state=message.send_state,
        )


def _within(name: str, value: float, least: float, most: float) -> float:
    if not (math.isfinite(value) and least <= value <= most):
        raise _invalid(f"{name} is {least:,} to {most:,}, not {value:g}; leave it out for the default")
    return value


def _invalid(message: str) -> InvalidRequestError:
    return InvalidRequestError(message, reason="STREAM_CONFIG_INVALID")
