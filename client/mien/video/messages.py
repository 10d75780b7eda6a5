"""Convert the frames of a stream to messages."""

import time
from os import PathLike
from typing import TypeAlias

from mien.errors import InvalidRequestError
from mien.images import ImageSource, image_bytes, raw_image
from mien.types.video import Frame
from mien.v1 import face_service_pb2 as pb
from mien.video.options import StreamOptions

FrameSource: TypeAlias = ImageSource | Frame
"""A picture in any form that `Client.analyze` takes, or a `Frame`."""


class FrameMessages:
    """Converts frames to messages, with a time and a number for those without."""

    def __init__(self, options: StreamOptions) -> None:
        self._options = options
        self._began = time.monotonic()

    def request(self, number: int, source: FrameSource) -> pb.AnalyzeStreamRequest:
        """Return the message of a frame."""
        frame = source if isinstance(source, Frame) else Frame(source)
        timestamp_ms = frame.timestamp_ms
        if timestamp_ms is None:
            live = self._options.drop_policy == "latest"
            timestamp_ms = (time.monotonic() - self._began) * 1e3 if live else number * 1e3 / self._options.frame_rate
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
    """Raise `InvalidRequestError` for a single picture or the path of a video."""
    if isinstance(frames, str | bytes | bytearray | memoryview | PathLike):
        raise _invalid(
            "frames must be an iterable of pictures, not one picture or a video file; decode the video first, such as "
            "with cv2.VideoCapture, and pass mien.Frame(picture, color='bgr')"
        )


def _invalid(message: str) -> InvalidRequestError:
    return InvalidRequestError(message, reason="OPTION_OUT_OF_RANGE")
