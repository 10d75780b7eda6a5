"""Write the annotated video with PyAV, to a temporary file that is renamed when it is complete."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mien.cli.video.reading import av_module
from mien.errors import FileError, InvalidRequestError

_CODECS = {".mp4": "libx264", ".m4v": "libx264", ".mov": "libx264", ".mkv": "libx264", ".webm": "libvpx-vp9"}
_FALLBACK = "mpeg4"
_TICKS = 1000
"""Ticks per second of the timestamps."""


class VideoWriter:
    """Writes frames of one size with their timestamps. `close` completes the file and renames it."""

    def __init__(self, path: Path, fps: float) -> None:
        """Open the file at the first frame; raises `InvalidRequestError` for an unsupported file type."""
        if path.suffix.lower() not in _CODECS:
            raise InvalidRequestError(f"{path}: unsupported file type of a video; use {', '.join(_CODECS)}")
        self._av = av_module()
        self._path = path
        self._partial = path.with_name(f".{path.stem}.partial{path.suffix}")
        self._fps = fps
        self._container: Any = None
        self._stream: Any = None
        self._last = -1

    def write(self, pixels: NDArray[np.uint8], timestamp_ms: float) -> None:
        """Append (H, W, 3) uint8 RGB; raises `FileError` if the file cannot be written."""
        height, width = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2  # as YUV 4:2:0 needs it
        try:
            if self._container is None:
                self._open(width, height)
            if (self._stream.width, self._stream.height) != (width, height):
                return  # a stream that changes its size
            frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels[:height, :width]), format="rgb24")
            frame.time_base = Fraction(1, _TICKS)
            self._last = frame.pts = max(self._last + 1, round(timestamp_ms * _TICKS / 1e3))
            self._container.mux(self._stream.encode(frame))
        except (self._av.error.FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Finish the file."""
        if self._container is None:
            return
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self._partial.replace(self._path)
        except (self._av.error.FFmpegError, OSError) as error:
            raise self._failure(error) from error
        finally:
            self._container = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, width: int, height: int) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        codec = _CODECS[self._path.suffix.lower()]
        codec = codec if codec in self._av.codecs_available else _FALLBACK
        self._container = self._av.open(str(self._partial), "w")
        self._stream = self._container.add_stream(codec, rate=Fraction(self._fps).limit_denominator(1000))
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, _TICKS)

    def _failure(self, error: Exception) -> FileError:
        return FileError(f"cannot write {self._path}: {getattr(error, 'strerror', None) or error}")
