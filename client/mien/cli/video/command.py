"""The command `client video`."""

import io
import json
import signal
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from google.protobuf.message import Message
from google.rpc import code_pb2
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from mien.cli import tables as console_tables
from mien.cli.exit_codes import FAILED, INTERRUPTED, leave
from mien.cli.options import ConnectionOptions, MaxFaces, with_connection
from mien.cli.video import tables
from mien.cli.video.drawing import FaceDrawer
from mien.cli.video.history import History
from mien.cli.video.plot import check_suffix, plot
from mien.cli.video.reading import Picture, Video, opened
from mien.cli.video.writing import VideoWriter
from mien.errors import InvalidRequestError, MienError
from mien.types.proto_json import as_dict
from mien.types.video import Frame, FrameResult
from mien.video.options import MAX_DETECTION_INTERVAL, MAX_HALF_LIFE_MS

EXIT_CODES = (
    "Exit codes: 0 the video was analyzed; 1 a frame or an output failed; 2 invalid usage, or no video; "
    "3 no server is reachable; 130 interrupted, with complete outputs."
)

_CLOSEST_MS = 8.4
"""Minimum time between frames; closer ones are skipped, since servers accept 120 frames per second by default."""

_QUALITY = 92
"""JPEG quality of frames sent to a server."""


class _Rate(ProgressColumn):
    """Frames per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} frames/s" if task.speed else "- frames/s")


@with_connection
def video(
    source: Annotated[str, typer.Argument(help="A video file, a URL such as rtsp://..., or the number of a camera.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per frame, one per line.")] = False,
    annotate: Annotated[Path | None, typer.Option(help="Write an annotated video to this file.")] = None,
    summary: Annotated[bool, typer.Option("--summary", help="Print a table of the tracks; the default.")] = False,
    plot_file: Annotated[
        Path | None, typer.Option("--plot", help="Write a plot of the emotions and moods to this file.")
    ] = None,
    tasks: Annotated[str | None, typer.Option(help="Tasks to run, separated by commas: age,gender,emotion.")] = None,
    max_faces: MaxFaces = None,
    detection_interval: Annotated[
        int, typer.Option(min=1, max=MAX_DETECTION_INTERVAL, help="Detect faces on every n-th frame.")
    ] = 5,
    smoothing_half_life_ms: Annotated[
        float, typer.Option(min=0, max=MAX_HALF_LIFE_MS, help="Half-life of expressions; 0 disables smoothing.")
    ] = 200,
    seconds: Annotated[
        float, typer.Option(min=0, help="Stop after this many seconds of the video; 0 for no limit.")
    ] = 0,
    *,
    connection: ConnectionOptions,
) -> None:
    """Follow the faces of a video."""
    names = [name.strip() for name in tasks.split(",") if name.strip()] if tasks is not None else None
    run = _Run(source, as_json=as_json, seconds=seconds)
    try:
        if plot_file:
            check_suffix(plot_file)
        with ExitStack() as open_parts:
            found = open_parts.enter_context(opened(source))
            if annotate:
                if Path(source).exists() and annotate.exists() and annotate.samefile(source):
                    raise InvalidRequestError(f"{annotate} is the video itself; pass another file to --annotate")
                run.writer = open_parts.enter_context(VideoWriter(annotate, found.fps))
            client = open_parts.enter_context(connection.client())
            open_parts.enter_context(_stopping(run))
            frames = run.frames(found, encoded=connection.server is not None)
            results = client.stream(
                frames,
                tasks=cast(Any, names),
                max_faces=max_faces,
                detection_interval=detection_interval,
                smoothing_half_life_ms=smoothing_half_life_ms,
                drop_policy="latest" if found.live else "none",
            )
            run.follow(found, results)
        if plot_file:
            plot(run.history, plot_file)
    except MienError as error:
        raise leave(error) from error
    _report(run, summary=summary or not (as_json or annotate or plot_file))


def _report(run: "_Run", *, summary: bool) -> None:
    """Print the table and the failures, and exit with the exit code."""
    history = run.history
    if summary:
        console_tables.console().print(tables.summary(history))
    if history.dropped:
        typer.echo(
            f"client: {history.dropped} frames were dropped, since they arrived faster than they were analyzed",
            err=True,
        )
    if history.failed:
        typer.echo(f"client: {history.failed} of {history.frames} frames failed: {run.failure}", err=True)
    if run.stopped:
        typer.echo(f"client: interrupted after {history.frames} frames; the outputs are complete", err=True)
        raise typer.Exit(INTERRUPTED)
    if history.failed:
        raise typer.Exit(FAILED)


@contextmanager
def _stopping(run: "_Run") -> Iterator[None]:
    """End the video at its next frame on the first Ctrl-C, so that all outputs are complete."""

    def stop(number: int, frame: object) -> None:
        if run.stopped:
            raise KeyboardInterrupt
        run.stopped = True

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass(slots=True)
class _Run:
    """One run of the command."""

    source: str
    as_json: bool
    seconds: float
    writer: VideoWriter | None = None
    history: History = field(default_factory=History)
    stopped: bool = False
    failure: str = ""
    """Error message of the last failed frame."""
    _drawer: FaceDrawer = field(default_factory=FaceDrawer)
    _waiting: deque[Picture] = field(default_factory=deque)
    """Frames that were sent and have no result yet."""

    def frames(self, found: Video, *, encoded: bool) -> Iterator[Frame]:
        """Yield the frames to send: pixels to this process, JPEG files to a server."""
        last_ms = -_CLOSEST_MS
        for picture in found.pictures:
            if picture.timestamp_ms - last_ms < _CLOSEST_MS:
                continue
            last_ms = picture.timestamp_ms
            if self.stopped or (self.seconds and picture.timestamp_ms >= self.seconds * 1e3):
                return
            self._waiting.append(picture)
            yield Frame(_jpeg(picture) if encoded else picture.pixels, picture.timestamp_ms, picture.number)

    def follow(self, found: Video, results: Iterator[FrameResult]) -> None:
        """Take the results: print, draw, and show the progress."""
        stderr = Console(stderr=True)
        total = found.frames if not self.seconds else min(found.frames or 10**9, round(self.seconds * found.fps))
        columns = (TextColumn("following"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
        with Progress(
            *columns, console=stderr, transient=True, disable=not stderr.is_terminal, redirect_stdout=False
        ) as progress:
            shown = progress.add_task("following", total=total)
            for result in results:
                self.history.add(result)
                picture = self._picture(result)
                if self.as_json:
                    print(json.dumps(self._json(result, picture), ensure_ascii=False), flush=True)
                if result.error:
                    self.failure = result.error.message
                if picture and self.writer:
                    pixels = self._drawer.draw(picture.pixels, result.faces, result.timestamp_ms)
                    self.writer.write(pixels, result.timestamp_ms)
                progress.advance(shown)

    def _picture(self, result: FrameResult) -> Picture | None:
        """Return the frame of a result; those before it were dropped."""
        while result.frame_id is not None and self._waiting:
            picture = self._waiting.popleft()
            if picture.number == result.frame_id:
                return picture
        return None

    def _json(self, result: FrameResult, picture: Picture | None) -> dict[str, object]:
        line: dict[str, object] = {
            "source": self.source,
            "frame": result.frame_id,
            "timestamp_ms": round(result.timestamp_ms, 3),
            "faces": [_face(message, picture.scale if picture else 1.0) for message in result.message.faces],
            "dropped_frames": result.dropped_frames,
            "events": [as_dict(event) | {"track_id": event.track_id} for event in result.message.events],
        }
        if result.error:
            error = result.error
            line["error"] = {
                "code": code_pb2.Code.Name(error.code),
                "reason": error.reason,
                "message": error.message,
            }
        return line


def _face(message: Message, scale: float) -> dict[str, object]:
    """Return a face with the fields of `client analyze --json`, and those of its track beside them."""
    fields = as_dict(message)
    face = cast(dict[str, object], fields.pop("face"))
    box = cast(dict[str, float], face["box"])
    if scale != 1.0:  # in pixels of the video itself
        face["box"] = {name: value * scale for name, value in box.items()}
        marks = cast(dict[str, dict[str, float]], face.get("landmarks", {}))
        face["landmarks"] = {name: {axis: at * scale for axis, at in point.items()} for name, point in marks.items()}
    return {"track_id": int(cast(str, fields.pop("track_id")))} | face | fields


def _jpeg(picture: Picture) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture.pixels).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
