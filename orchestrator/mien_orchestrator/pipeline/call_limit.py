"""Time limit of model calls, after which a worker counts as hung."""

from collections import deque

import numpy as np

_LEAST_SECONDS = 1.0
_CROP_SECONDS = 0.02
"""Seconds added per crop: one takes some 5 ms on one core."""

_TIMES_P99 = 10
_CALLS = 200
"""Number of recent calls whose durations are used."""


class CallLimit:
    """Adapts the limit to the recent durations of the model's calls."""

    def __init__(self, fixed_s: float | None = None) -> None:
        """Use `fixed_s` seconds; None for ten times the recent 99th percentile, at least 1 s and 20 ms per crop."""
        self._fixed_s = fixed_s
        self._durations: deque[float] = deque(maxlen=_CALLS)

    def seconds(self, crops: int) -> float:
        """Return the limit of a call with so many crops, in seconds."""
        if self._fixed_s is not None:
            return self._fixed_s
        recent = _TIMES_P99 * float(np.percentile(self._durations, 99)) if self._durations else 0.0
        return max(_LEAST_SECONDS + _CROP_SECONDS * crops, recent)

    def record(self, seconds: float) -> None:
        """Record the duration of a call that was answered."""
        self._durations.append(seconds)
