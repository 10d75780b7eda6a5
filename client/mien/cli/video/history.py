"""Record the tracks of a video over time, for the table and the plot."""

from dataclasses import dataclass, field

from mien.types.video import FrameResult, TrackSummary

_STEP_MS = 100.0
"""Minimum time between two points of a track."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A track at one point in time."""

    timestamp_ms: float
    valence: float
    arousal: float
    emotion: str


@dataclass(slots=True)
class History:
    """The tracks of one video."""

    moments: dict[int, list[Moment]] = field(default_factory=dict)
    """By track."""
    summaries: dict[int, TrackSummary] = field(default_factory=dict)
    frames: int = 0
    dropped: int = 0
    failed: int = 0
    """Frames that could not be analyzed."""

    def add(self, result: FrameResult) -> None:
        """Add the result of a frame, or of the stream's end."""
        self.frames += result.frame_id is not None
        self.dropped += result.dropped_frames
        self.failed += result.error is not None
        for tracked in result.faces:
            mood, kept = tracked.face.mood, self.moments.setdefault(tracked.track_id, [])
            if mood and (not kept or result.timestamp_ms - kept[-1].timestamp_ms >= _STEP_MS):
                kept.append(Moment(result.timestamp_ms, mood.valence, mood.arousal, tracked.emotion or ""))
        for event in result.events:
            if event.summary:
                self.summaries[event.track_id] = event.summary
