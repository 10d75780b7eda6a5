"""The synchronous client of the SDK."""

import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mien.images import LARGE_BYTES, ImageSource, check_size, size_of
from mien.pixels import Color
from mien.request import TaskName, analyze_request, call_metadata, checked_metadata, seconds
from mien.transport import calls
from mien.transport.base import Engine
from mien.transport.calls import Call, Value
from mien.transport.connection import Connection
from mien.transport.grpc import RemoteEngine
from mien.transport.local import LocalEngine
from mien.transport.methods import Request, Response
from mien.transport.retries import WINDOW
from mien.transport.tls import Tls
from mien.types.analysis import Analysis
from mien.types.model_info import ModelInfo
from mien.types.server_info import ModelCard, ServerInfo
from mien.types.video import FrameResult
from mien.video.messages import FrameSource
from mien.video.options import DEFAULT_FRAME_RATE, DropPolicy, StreamOptions
from mien.video.stream import Stream

if TYPE_CHECKING:
    from mien_orchestrator.settings import Settings

DEFAULT_TIMEOUT = 30.0
"""Seconds that a call may take by default."""

DEFAULT_CONNECT_TIMEOUT = WINDOW
"""Seconds for which the first connection is attempted by default."""


class Client:
    """Analyze the faces of images, on a server or in this process.

        with mien.Client("localhost:50051") as client:
            print(client.analyze("photo.jpg"))

    Thread-safe, but not fork-safe: create a client in each process. Failed calls are retried if
    that can help, for at most 10 seconds; see `docs/client.md`.
    """

    def __init__(
        self,
        server: str | Sequence[str] | None = None,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        tls: Tls | None = None,
        token: str | None = None,
        metadata: Mapping[str, str] | None = None,
        connect_timeout: float = DEFAULT_CONNECT_TIMEOUT,
    ) -> None:
        """Create a client. The first call connects.

        Args:
            server: `host:port`, or several such addresses, over which calls are spread. None for the environment
                variable `MIEN_SERVER`; without that, `Client()` is `Client.local()`.
            timeout: Seconds that each call may take, retries included.
            tls: TLS options, for a server that requires TLS.
            token: Token, for a server that requires one. None for the environment variable `MIEN_TOKEN`.
            metadata: Metadata sent with every call, such as a tenant's name for a proxy.
            connect_timeout: Seconds for which the first connection is attempted again while the server refuses it or
                its name cannot be resolved; 0 for one attempt. Later failures are retried for up to 10 seconds.

        Raises:
            InvalidRequestError: an argument or a variable is invalid.
            EmbeddedUnavailableError: no server is given, and the packages of local mode are not installed.

        """
        self.timeout = seconds(timeout, DEFAULT_TIMEOUT)
        self._metadata = checked_metadata(metadata)
        connection = Connection.find(server, tls, token, connect_timeout)
        self._engine: Engine = RemoteEngine(connection) if connection else LocalEngine()

    @classmethod
    def local(
        cls, settings: "Settings | Mapping[str, object] | None" = None, *, timeout: float = DEFAULT_TIMEOUT
    ) -> Self:
        """Create a client that analyzes in this process (`pip install 'mien[local]'`), even if `MIEN_SERVER` is set.

            with mien.Client.local({"detector.name": "haar"}) as client:
                print(client.analyze("photo.jpg"))

        Args:
            settings: Settings as in the settings file of a server, which go over the environment (`MIEN_*`) and the
                defaults; or a `mien_orchestrator.settings.Settings`, which is taken as it is.
            timeout: Seconds that each call may take.

        Raises:
            InvalidRequestError: a setting is invalid.
            EmbeddedUnavailableError: the packages of local mode are not installed.

        """
        client = cls.__new__(cls)
        client.timeout = seconds(timeout, DEFAULT_TIMEOUT)
        client._metadata = {}
        client._engine = LocalEngine(settings)
        return client

    def analyze(
        self,
        image: ImageSource,
        *,
        color: Color = "rgb",
        tasks: Sequence[TaskName] | None = None,
        max_faces: int | None = None,
        models: Mapping[TaskName, str] | None = None,
        all_or_nothing: bool = False,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
        request_id: str | None = None,
    ) -> Analysis:
        """Estimate age, gender, emotion and mood of the faces in an image.

        Args:
            image: A path, an image file's bytes, a binary file, a PIL image, or a uint8 array. At most 256 MiB; the
                server's limit is requested before a file of more than 16 MiB is read.
            color: Layout of an array: `rgb` or `bgr`, (H, W, 3), both also (H, W) grey; or `nv12`, (H * 3 / 2, W) with
                even H and W (BT.601, limited range). Only for arrays.
            tasks: Tasks to run; None for all that the server has.
            max_faces: Return at most this many faces, the largest; None for the server's limit.
            models: Name of a model by task, such as `{"emotion": "mien-emotion-fer2013"}`, instead of the server's. The
                server must allow it (`models.selectable`).
            all_or_nothing: Whether a failed task fails the call. Otherwise its `TaskResult` has the error, and the
                other tasks' results are returned.
            timeout: Seconds that the call may take; None for the client's.
            metadata: Metadata of this call, over the client's.
            request_id: Id of the request in logs and traces, at most 128 letters, digits and `.:/+=@_-`; None for a
                random one.

        Returns:
            The faces, largest first, with their estimates. Without a face, `faces` is empty.

        Raises:
            ImageError: the image cannot be read, or is too large.
            InvalidRequestError: another argument is invalid.
            NotFoundError: the server does not have a model of `models` for its task.
            OverloadedError: the server is overloaded.
            DeadlineExceededError: there is no reply within the timeout.
            ServerUnavailableError: no server answers.
            MienError: any other failure; the base class of the above.

        """
        limit = seconds(timeout, self.timeout)
        sent = call_metadata(self._metadata, metadata, request_id)
        if size_of(image) > LARGE_BYTES:
            began = time.monotonic()
            check_size(image, self.server_info(timeout=limit).max_image_bytes)
            limit -= time.monotonic() - began
        request = analyze_request(
            image, color=color, tasks=tasks, max_faces=max_faces, models=models, all_or_nothing=all_or_nothing
        )
        call = calls.analyze(request)
        return call.result(self._engine.call(call.method, call.request, limit, sent))

    def stream(
        self,
        frames: Iterable[FrameSource],
        *,
        tasks: Sequence[TaskName] | None = None,
        max_faces: int | None = None,
        smoothing_half_life_ms: float | None = None,
        detection_interval: int | None = None,
        attribute_intervals_ms: Mapping[TaskName, float] | None = None,
        drop_policy: DropPolicy = "none",
        frame_rate: float = DEFAULT_FRAME_RATE,
        metadata: Mapping[str, str] | None = None,
        request_id: str | None = None,
    ) -> Generator[FrameResult]:
        """Follow the faces of a video; results come in the order of the frames.

            for result in client.stream(frames):
                for face in result.faces:
                    print(result.timestamp_ms, face.track_id, face.face.age, face.emotion)

        Args:
            frames: The frames, iterated in another thread: pictures in any form that `analyze` takes, or `Frame`s with
                their times.
            tasks: Tasks to run; None for all that the server has.
            max_faces: Follow at most this many faces; None for the server's limit.
            smoothing_half_life_ms: Half-life of earlier expressions, 0 to 10,000; 0 disables smoothing, None for 200.
            detection_interval: The detector runs on every n-th frame, 1 to 100; None for 5.
            attribute_intervals_ms: Time between two calls of a task's model for the same face, 0 to 60,000; None for
                1000 (age and gender) and 300 (emotion, a third of it while the expression changes).
            drop_policy: `none` analyzes every frame, and slows down the iteration of the frames to the speed of the
                analysis; `latest`, for live sources, drops and counts frames that arrive faster than that.
            frame_rate: Frames per second, for frames without times; with `latest`, their time of arrival is used.
            metadata: Metadata of this stream, over the client's.
            request_id: Id of the stream in logs; None for a random one.

        If the connection is lost, the stream continues on a new one: tracks keep their numbers, and frames without a
        result are sent again. If that is not possible, the next result has `restarted`.

        Yields:
            One result per frame that was not dropped, and one at the end with the tracks that end there. A frame that
            cannot be analyzed has an `error`. Closing the generator ends the stream.

        Raises:
            InvalidRequestError: an option is invalid.
            OverloadedError: the server has too many streams.
            MienError: any other failure of the stream, or a frame that cannot be read from its source.

        """
        options = StreamOptions(
            tasks=tasks,
            max_faces=max_faces,
            smoothing_half_life_ms=smoothing_half_life_ms,
            detection_interval=detection_interval,
            attribute_intervals_ms=attribute_intervals_ms,
            drop_policy=drop_policy,
            frame_rate=frame_rate,
        )
        sent = call_metadata(self._metadata, metadata, request_id)
        yield from Stream(self._engine, options, sent, self.timeout).results(frames)

    def models(self, *, timeout: float | None = None) -> tuple[ModelInfo, ...]:
        """Return the server's models, those in use first.

        Args:
            timeout: Seconds that the call may take; None for the client's.

        Raises:
            MienError: the call failed; see `analyze`.

        """
        return self._run(calls.models(), timeout)

    def model_card(self, name: str, *, timeout: float | None = None) -> ModelCard:
        """Return a model's card.

        Args:
            name: Name of a model, as in `models`.
            timeout: Seconds that the call may take; None for the client's.

        Raises:
            NotFoundError: there is no model of that name.
            MienError: the call failed; see `analyze`.

        """
        return self._run(calls.model_card(name), timeout)

    def server_info(self, *, timeout: float | None = None) -> ServerInfo:
        """Return the server's version, tasks, formats and limits.

        Args:
            timeout: Seconds that the call may take; None for the client's.

        Raises:
            MienError: the call failed; see `analyze`.

        """
        return self._run(calls.server_info(), timeout)

    def _run(self, call: Call[Request, Response, Value], timeout: float | None) -> Value:
        limit, sent = seconds(timeout, self.timeout), call_metadata(self._metadata)
        return call.result(self._engine.call(call.method, call.request, limit, sent))

    def close(self) -> None:
        """Refuse further calls, and free the connection or the models. May be called again."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
