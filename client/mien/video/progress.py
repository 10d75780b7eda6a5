"""What a stream has sent and received, over all of its connections."""

from collections import deque
from dataclasses import dataclass, field

from mien.errors import CallCancelledError, MienError, OverloadedError, ServerUnavailableError
from mien.transport.retries import Retries
from mien.types.video import FrameResult
from mien.v1 import face_service_pb2 as pb
from mien.video.options import StreamOptions

WINDOW = 16
"""Maximum number of frames without a reply that are kept for a retry."""


@dataclass(slots=True)
class Progress:
    """What a stream has sent and received, over all of its connections."""

    options: StreamOptions
    timeout: float
    """Maximum time of retries after a lost connection, in seconds."""
    unanswered: deque[pb.AnalyzeStreamRequest] = field(default_factory=deque)
    answered: int = 0
    """Frames that need not be sent again."""
    state: bytes = b""
    dropped: int = 0
    """Frames that were dropped here since the last result."""
    replied: bool = False
    """Whether there was any reply."""
    restarted: bool = False
    """Whether the next result is the first of a new stream, without the previous tracks."""
    retries: Retries | None = None

    def __post_init__(self) -> None:
        self.options.config()

    def first_request(self) -> pb.AnalyzeStreamRequest:
        """Return the first request of a connection: the configuration, with the last state."""
        config = self.options.config()
        config.state, config.send_state = self.state, True
        return pb.AnalyzeStreamRequest(config=config)

    def take(self, reply: pb.AnalyzeStreamResponse) -> FrameResult:
        """Record a reply; return its result."""
        if reply.HasField("frame_id"):
            while self.unanswered:
                frame = self.unanswered.popleft()
                self.answered += 1
                if frame.frame.id == reply.frame_id:
                    break
        if reply.HasField("state"):
            self.state = reply.state
            reply.ClearField("state")
        reply.dropped_frames += self.dropped
        result = FrameResult.from_message(reply, restarted=self.restarted)
        self.dropped, self.restarted, self.replied, self.retries = 0, False, True, None
        return result

    def next_wait(self, error: MienError) -> float:
        """Return the seconds until the next connection; raises the error if it is final."""
        if self.retries is None:
            self.retries = Retries(self.timeout)
        advised = error.retry_after if isinstance(error, OverloadedError) else None
        lost = isinstance(error, ServerUnavailableError | CallCancelledError) or advised is not None
        wait = self.retries.next_wait(advised) if lost else None
        if error.reason == "STREAM_STATE_INVALID" and self.state:  # of another version of Mien
            self.state, wait = b"", 0.0
        if wait is None:
            raise error
        self.restarted = self.replied and not self.state
        if self.options.drop_policy == "latest":
            while len(self.unanswered) > 1:
                self.unanswered.popleft()
                self.answered += 1
                self.dropped += 1
        return wait

    def drop_oldest(self) -> None:
        """Drop the oldest frame of a live source beyond the window: the server would drop it anyway."""
        if self.options.drop_policy == "latest" and len(self.unanswered) > WINDOW:
            self.unanswered.popleft()
            self.answered += 1

    @property
    def full(self) -> bool:
        """Whether a frame must be answered before the next one is taken."""
        return self.options.drop_policy == "none" and len(self.unanswered) >= WINDOW
