"""Read the frames of a video file, a stream or a camera with PyAV: upright, with increasing timestamps."""

import itertools
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mien.errors import FileError, InvalidRequestError, MienError
from mien.images import shown

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

LONGEST_SIDE = 1920
"""Longer side in pixels above which a frame is reduced; detection runs at 640 pixels anyway."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_LIVE = ("rtsp://", "rtsps://", "rtmp://", "rtp://", "udp://", "srt://")
_OPEN_SECONDS = 10.0
_CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}"), "win32": ("dshow", "video={}")}

_STEP_MS = 0.001
"""Time between frames whose timestamps do not increase."""

_MOST_BROKEN = 50
"""Number of consecutive damaged packets after which a video ends."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One frame."""

    number: int
    """In the source, from 0."""
    timestamp_ms: float
    pixels: NDArray[np.uint8]
    """(H, W, 3) RGB, upright; the longer side has at most `LONGEST_SIDE` pixels."""
    scale: float
    """Pixels of the source per pixel."""


@dataclass(frozen=True, slots=True)
class Video:
    """An open source."""

    name: str
    live: bool
    fps: float
    """Mean frames per second."""
    frames: int | None
    """Approximate number of frames; None if the length of the source is unknown."""
    pictures: Iterator[Picture]


def av_module() -> ModuleType:
    """Return PyAV; raises `InvalidRequestError` if it is not installed."""
    try:
        import av
    except ImportError as error:
        raise InvalidRequestError("videos need the package 'av': pip install 'mien[video]'") from error
    return av


@contextmanager
def opened(source: str) -> Iterator[Video]:
    """Open a path, a URL or the number of a camera.

    Raises:
        InvalidRequestError: the source does not exist, or has no video.
        FileError: this machine cannot read it now.

    """
    av = av_module()
    av.logging.set_level(av.logging.PANIC)  # FFmpeg's messages; errors are reported in one line
    live = source.isdecimal() or source.startswith(_LIVE)
    try:
        container = _open(av, source)
    except MienError:
        raise
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise _failure(source, error) from error
    with container:
        if not container.streams.video:
            only = " (it has sound only)" if container.streams.audio else ""
            raise InvalidRequestError(f"{shown(source)} has no video{only}")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        fps = float(stream.average_rate or stream.guessed_rate or 25)
        pictures = _pictures(av, source, container, stream, fps)
        first = next(pictures, None)
        if first is None:
            raise InvalidRequestError(f"{shown(source)} has no readable frame")
        yield Video(
            source,
            live,
            fps,
            None if live else _count(stream, container.duration, fps),
            itertools.chain([first], pictures),
        )


def _open(av: ModuleType, source: str) -> "InputContainer":
    if source.isdecimal():
        kind, name = _CAMERAS.get(sys.platform, _CAMERAS["linux"])
        return av.open(name.format(source), format=kind)  # type: ignore[no-any-return]  # PyAV is imported lazily
    if _URL.match(source):
        options = {"rtsp_transport": "tcp"} if source.startswith("rtsp") else {}
        return av.open(source, timeout=_OPEN_SECONDS, options=options)  # type: ignore[no-any-return]
    path = Path(source)
    if path.is_dir():
        raise InvalidRequestError(f"{shown(source)} is a folder; pass one video file")
    if path.is_file() and not os.path.getsize(path):
        raise InvalidRequestError(f"{shown(source)} is empty")
    return av.open(source)  # type: ignore[no-any-return]


def _failure(source: str, error: Exception) -> MienError:
    cause = (getattr(error, "strerror", None) or str(error)).lower()
    if isinstance(error, FileNotFoundError):
        what = f"there is no camera {source}" if source.isdecimal() else f"{shown(source)}: no such file"
        return InvalidRequestError(what)
    if isinstance(error, PermissionError | ConnectionError | TimeoutError):
        return FileError(f"cannot read {shown(source)}: {cause}")
    return InvalidRequestError(f"{shown(source)} is not a readable video: {cause}")


def _count(stream: "VideoStream", duration: int | None, fps: float) -> int | None:
    if stream.frames:
        return stream.frames
    return round(duration / 1e6 * fps) if duration and duration > 0 else None


def _pictures(
    av: ModuleType, source: str, container: "InputContainer", stream: "VideoStream", fps: float
) -> Iterator[Picture]:
    """Yield the frames; damaged ones are skipped, and a truncated file ends early."""
    last_ms, first_ms = -np.inf, 0.0
    for number, frame in enumerate(_decoded(av, source, container, stream)):
        time = frame.time
        if number == 0:
            first_ms = (time or 0.0) * 1e3
        timestamp_ms = number * 1e3 / fps if time is None else time * 1e3 - first_ms
        last_ms = max(timestamp_ms, last_ms + _STEP_MS)
        yield _picture(number, last_ms, frame)


def _decoded(av: ModuleType, source: str, container: "InputContainer", stream: "VideoStream") -> Iterator["VideoFrame"]:
    broken, any_frame = 0, False
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.error.FFmpegError, OSError) as error:
            if any_frame:
                return
            raise _failure(source, error) from error
        try:
            for frame in packet.decode():
                broken, any_frame = 0, True
                yield frame
        except av.error.FFmpegError as error:
            broken += 1
            if broken > _MOST_BROKEN:
                if any_frame:
                    return
                raise _failure(source, error) from error


def _picture(number: int, timestamp_ms: float, frame: "VideoFrame") -> Picture:
    scale = max(1.0, max(frame.width, frame.height) / LONGEST_SIDE)
    width = round(frame.width / scale) if scale > 1 else None
    height = round(frame.height / scale) if scale > 1 else None
    pixels = frame.to_ndarray(format="rgb24", width=width, height=height)
    turns = round(frame.rotation / 90) % 4  # counter-clockwise
    upright = np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels
    return Picture(number, timestamp_ms, np.asarray(upright, np.uint8), scale)
