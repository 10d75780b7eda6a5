"""A synchronous stream that continues after a lost connection: frames without a reply are sent again.

Each connection iterates the requests anew, in a thread of its own; the caller's frames are iterated once, by whichever
connection is the current one.
"""

import threading
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing

from mien.errors import MienError
from mien.transport.base import Engine, Metadata
from mien.transport.methods import ANALYZE_STREAM
from mien.types.video import FrameResult
from mien.v1 import face_service_pb2 as pb
from mien.video.messages import FrameMessages, FrameSource, check_frames
from mien.video.options import StreamOptions
from mien.video.progress import Progress


class Stream:
    """A stream of the synchronous client."""

    def __init__(self, engine: Engine, options: StreamOptions, metadata: Metadata, timeout: float) -> None:
        self._engine = engine
        self._metadata = metadata
        self._progress = Progress(options, timeout)
        self._changed = threading.Condition()
        self._pulling = threading.Lock()
        self._connection = 0
        """Number of the current connection; the requests of earlier ones end."""
        self._ended = False
        """Whether the caller has no more frames."""

    def results(self, frames: Iterable[FrameSource]) -> Generator[FrameResult]:
        """Yield the results; see `Client.stream`."""
        check_frames(frames)
        messages = FrameMessages(self._progress.options)
        made = (messages.request(number, frame) for number, frame in enumerate(frames))
        try:
            while True:
                requests = self._requests(made, self._connection)
                try:
                    with closing(self._engine.stream(ANALYZE_STREAM, requests, self._metadata)) as replies:
                        for reply in replies:
                            with self._changed:
                                result = self._progress.take(reply)
                                self._changed.notify_all()
                            yield result
                        return
                except MienError as error:
                    with self._changed:
                        self._connection += 1
                        self._changed.notify_all()
                        wait = self._progress.next_wait(error)
                    time.sleep(wait)
        finally:
            with self._changed:
                self._connection += 1
                self._changed.notify_all()

    def _requests(self, made: Iterator[pb.AnalyzeStreamRequest], connection: int) -> Iterator[pb.AnalyzeStreamRequest]:
        progress = self._progress
        with self._changed:
            place = progress.answered
            first = progress.first_request()
        yield first
        while True:
            with self._pulling:  # a former connection may still wait for the caller's next frame
                if not self._pull(made, connection, place):
                    return
            with self._changed:
                if self._connection != connection:
                    return
                place = max(place, progress.answered)
                if place >= progress.answered + len(progress.unanswered):
                    continue
                request = progress.unanswered[place - progress.answered]
                place += 1
            yield request

    def _pull(self, made: Iterator[pb.AnalyzeStreamRequest], connection: int, place: int) -> bool:
        """Read the caller's next frame unless one is ready to send; return whether there is one."""
        progress = self._progress
        with self._changed:
            self._changed.wait_for(lambda: self._connection != connection or not progress.full or self._left(place))
            if self._connection != connection:
                return False
            if self._left(place) or self._ended:
                return self._left(place)
        request = next(made, None)
        with self._changed:
            if request is None:
                self._ended = True
                return False
            progress.unanswered.append(request)
            progress.drop_oldest()
        return True

    def _left(self, place: int) -> bool:
        progress = self._progress
        return max(place, progress.answered) < progress.answered + len(progress.unanswered)
