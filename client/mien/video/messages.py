"""The requests of a stream: its options and frames, checked, and made into messages."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Literal, TypeAlias

from mien.errors import InvalidRequestError
from mien.images import ImageSource, image_bytes, raw_image
from mien.request import TaskName, task_names
from mien.types.video import Frame
from mien.v1 import face_service_pb2 as pb

FrameSource: TypeAlias = ImageSource | Frame
"""A picture in any form that `Client.analyze` takes, or a `Frame`."""

DropPolicy = Literal["none", "latest"]

DEFAULT_FPS = 25.0

_POLICIES: dict[DropPolicy, pb.DropPolicy.ValueType] = {
    "none": pb.DROP_POLICY_NONE,
    "latest": pb.DROP_POLICY_LATEST,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """How a stream is analyzed; see `Client.stream`."""

    tasks: Sequence[TaskName] | None
    max_faces: int | None
    half_life_ms: float | None
    detection_interval: int | None
    intervals_ms: Mapping[TaskName, float] | None
    drop: DropPolicy
    fps: float

    def message(self, state: bytes = b"") -> pb.AnalyzeStreamRequest:
        """Return the first message of a stream, which may go on with a state; raises `InvalidRequestError`."""
        if self.drop not in _POLICIES:
            raise _invalid(f"drop is one of {', '.join(map(repr, _POLICIES))}, not {self.drop!r}")
        if not isinstance(self.fps, int | float) or not 0 < self.fps <= 1000:
            raise _invalid(f"fps is a number of frames per second, more than 0 and at most 1000, not {self.fps!r}")
        try:
            config = pb.StreamConfig(
                tasks=task_names(self.tasks),
                max_faces=self.max_faces,
                smoothing_half_life_ms=self.half_life_ms,
                detection_interval=self.detection_interval,
                attribute_intervals_ms={str(task): ms for task, ms in (self.intervals_ms or {}).items()},
                drop_policy=_POLICIES[self.drop],
                state=state,
                send_state=True,
            )
        except (TypeError, ValueError) as error:  # protobuf's own
            raise _invalid(f"an option of the stream is not a number of its range: {error}") from error
        return pb.AnalyzeStreamRequest(config=config)


class FrameMessages:
    """Makes the messages of frames; gives times and numbers to those without."""

    def __init__(self, options: StreamOptions) -> None:
        self._options = options
        self._began = time.monotonic()

    def request(self, number: int, source: FrameSource) -> pb.AnalyzeStreamRequest:
        """Return the message of a frame."""
        frame = source if isinstance(source, Frame) else Frame(source)
        timestamp_ms = frame.timestamp_ms
        if timestamp_ms is None:
            live = self._options.drop == "latest"
            timestamp_ms = (time.monotonic() - self._began) * 1e3 if live else number * 1e3 / self._options.fps
        try:
            message = pb.Frame(id=number if frame.id is None else frame.id, timestamp_ms=timestamp_ms)
        except (TypeError, ValueError) as error:  # protobuf's own
            raise _invalid(f"frame {number}: its id or timestamp_ms is invalid: {error}") from error
        raw = raw_image(frame.image, frame.color)
        if raw:
            message.raw.CopyFrom(raw)
        else:
            message.image = image_bytes(frame.image, frame.color)
        return pb.AnalyzeStreamRequest(frame=message)


def check_frames(frames: object) -> None:
    """Refuse one picture, or the path of a video; raises `InvalidRequestError`."""
    if isinstance(frames, str | bytes | bytearray | memoryview | PathLike):
        raise _invalid(
            "frames are an iterable of pictures, not one picture or a video file; decode the video first, such as with "
            "cv2.VideoCapture, and pass mien.Frame(picture, color='bgr')"
        )


def _invalid(message: str) -> InvalidRequestError:
    return InvalidRequestError(message, reason="OPTION_OUT_OF_RANGE")
