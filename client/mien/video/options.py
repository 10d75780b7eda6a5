"""The options of a stream, with their ranges: checked once, for the SDK, the commands and the server."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from mien.errors import InvalidRequestError
from mien.request import TaskName, check_max_faces, task_names
from mien.v1 import face_service_pb2 as pb

DropPolicy = Literal["none", "latest"]

DEFAULT_FRAME_RATE = 25.0

DROP_POLICIES: Mapping[str, pb.DropPolicy.ValueType] = {
    "none": pb.DROP_POLICY_NONE,
    "latest": pb.DROP_POLICY_LATEST,
}
"""The drop policies by their names in the SDK and over HTTP."""

MAX_HALF_LIFE_MS = 10_000
MAX_DETECTION_INTERVAL = 100
_MAX_INTERVAL_MS = 60_000
MAX_FRAME_RATE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """How a stream is analyzed; see `Client.stream`."""

    tasks: Sequence[TaskName] | None = None
    max_faces: int | None = None
    smoothing_half_life_ms: float | None = None
    detection_interval: int | None = None
    attribute_intervals_ms: Mapping[TaskName, float] | None = None
    drop_policy: DropPolicy = "none"
    frame_rate: float = DEFAULT_FRAME_RATE

    def config(self) -> pb.StreamConfig:
        """Return the configuration of the stream; raises `InvalidRequestError` if an option is invalid."""
        if self.drop_policy not in DROP_POLICIES:
            raise _invalid(f"drop_policy must be {' or '.join(map(repr, DROP_POLICIES))}, not {self.drop_policy!r:.80}")
        check_frame_rate(self.frame_rate)
        check_max_faces(self.max_faces)
        try:
            config = pb.StreamConfig(
                tasks=task_names(self.tasks),
                max_faces=self.max_faces,
                smoothing_half_life_ms=self.smoothing_half_life_ms,
                detection_interval=self.detection_interval,
                attribute_intervals_ms={str(task): ms for task, ms in (self.attribute_intervals_ms or {}).items()},
                drop_policy=DROP_POLICIES[self.drop_policy],
            )
        except (TypeError, ValueError) as error:  # protobuf's own
            raise _invalid(f"an option of the stream is not a number in its range: {error}") from error
        check_config(config)
        return config


def check_config(config: pb.StreamConfig) -> None:
    """Check the values of a configuration against their ranges; raises `InvalidRequestError`."""
    if config.HasField("max_faces"):
        check_max_faces(config.max_faces)
    if config.HasField("smoothing_half_life_ms"):
        _check_range("smoothing_half_life_ms", config.smoothing_half_life_ms, 0, MAX_HALF_LIFE_MS)
    if config.HasField("detection_interval"):
        _check_range("detection_interval", config.detection_interval, 1, MAX_DETECTION_INTERVAL)
    if config.drop_policy not in pb.DropPolicy.values():
        raise _invalid(f"unknown drop_policy {config.drop_policy}; use one of {', '.join(pb.DropPolicy.keys())}")
    for name, value in config.attribute_intervals_ms.items():
        if name not in get_args(TaskName):
            raise _invalid(f"attribute_intervals_ms: unknown task {name[:80]!r}; use {', '.join(get_args(TaskName))}")
        _check_range(f"attribute_intervals_ms of {name}", value, 0, _MAX_INTERVAL_MS)


def check_frame_rate(frame_rate: float) -> None:
    """Check a number of frames per second; raises `InvalidRequestError`."""
    if not isinstance(frame_rate, int | float) or not 0 < frame_rate <= MAX_FRAME_RATE:
        raise _invalid(
            f"frame_rate must be more than 0 and at most {MAX_FRAME_RATE} frames per second, not {frame_rate!r:.80}"
        )


def _check_range(name: str, value: float, least: float, most: float) -> None:
    if not (math.isfinite(value) and least <= value <= most):
        raise _invalid(f"{name} must be from {least:,} to {most:,}, not {value:g}; omit it for the default")


def _invalid(message: str) -> InvalidRequestError:
    return InvalidRequestError(message, reason="STREAM_CONFIG_INVALID")
