"""Divide a time box between the stages of a run."""

import time


class Clock:
    """Seconds left of a time box that began when the object was made."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds left; negative after the end."""
        return self._end - time.monotonic()


class Stage:
    """A part of the box: `share` goes from 0 to 1 in the given seconds."""

    def __init__(self, seconds: float) -> None:
        self._start, self._seconds = time.monotonic(), max(seconds, 1e-3)

    @property
    def share(self) -> float:
        """Elapsed share of the stage, at least 0; above 1 after its end."""
        return (time.monotonic() - self._start) / self._seconds
