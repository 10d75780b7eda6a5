"""Circuit breaker: fail fast after consecutive failures of a model, and probe it again after a cool-down."""

import time
from collections.abc import Callable

from mien.errors import InvalidRequestError, OverloadedError, ServerUnavailableError

_FAIR_SECONDS = 1.0
"""Seconds before which an abandoned call is due to its caller's deadline, not to the model."""


class CircuitBreaker:
    """Opens after consecutive failures; half-open, one request per cool-down is admitted as a probe.

    While it is open, requests are refused at once. The first success closes it.
    """

    def __init__(
        self,
        name: str,
        *,
        failures: int,
        cooldown_s: float,
        on_change: Callable[[bool], None] = lambda is_open: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create a closed breaker.

        Args:
            name: What error messages call the model.
            failures: Consecutive failures that open the breaker.
            cooldown_s: Seconds before a probe is admitted.
            on_change: Called with True when the breaker opens, and with False when it closes.
            clock: Seconds from any fixed point.

        """
        self._name = name
        self._limit = failures
        self._cooldown_s = cooldown_s
        self._on_change = on_change
        self._clock = clock
        self._failures = 0
        self._probe_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether requests are rejected."""
        return self._failures >= self._limit

    def admit(self) -> None:
        """Admit a request; raises `ServerUnavailableError` while the breaker is open."""
        if not self.is_open:
            return
        wait = self._probe_at - self._clock()
        if wait > 0:
            raise ServerUnavailableError(
                f"the model for {self._name} failed {self._failures} times in a row; next attempt in {wait:.1f} s",
                reason="TASK_FAILING",
            )
        self._probe_at = self._clock() + self._cooldown_s  # this request is the probe

    def succeeded(self) -> None:
        """Record an answer."""
        was_open, self._failures = self.is_open, 0
        if was_open:
            self._on_change(False)

    def failed(self, error: Exception) -> None:
        """Record a failure of the model; invalid and rejected requests do not count."""
        if isinstance(error, OverloadedError | InvalidRequestError):
            return
        was_open, self._failures = self.is_open, self._failures + 1
        self._probe_at = self._clock() + self._cooldown_s
        if self.is_open and not was_open:
            self._on_change(True)

    def trip(self) -> None:
        """Open at once, since the model is known to be hung or down."""
        was_open, self._failures = self.is_open, max(self._failures, self._limit)
        self._probe_at = self._clock() + self._cooldown_s
        if not was_open:
            self._on_change(True)

    def abandoned(self, seconds: float) -> None:
        """Record a call that was abandoned after `seconds` without an answer."""
        if seconds >= _FAIR_SECONDS:
            self.failed(TimeoutError())
