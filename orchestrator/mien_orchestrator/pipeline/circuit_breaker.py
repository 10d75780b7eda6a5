"""A model that fails again and again is left alone for a while, so that nobody waits for it in vain."""

import time
from collections.abc import Callable

from mien.errors import InvalidRequestError, OverloadedError, ServerUnavailableError

_FAIR_SECONDS = 1.0
"""Time from which a call without an answer is the model's failure; the caller of a shorter one was in a hurry."""


class Breaker:
    """Opens after so many failures in a row; then one request after each pause is let through, to see.

    Requests are refused at once while it is open. The first success closes it.
    """

    def __init__(
        self,
        name: str,
        *,
        failures: int,
        pause: float,
        told: Callable[[bool], None] = lambda is_open: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`name` is what the refusal calls the model; `pause` is in seconds; `told` hears of opening and closing."""
        self._name = name
        self._most = failures
        self._pause = pause
        self._told = told
        self._clock = clock
        self._failures = 0
        self._until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the model counts as failing."""
        return self._failures >= self._most

    def admit(self) -> None:
        """Let a request through; raises `ServerUnavailableError` where the model is left alone."""
        if not self.is_open:
            return
        wait = self._until - self._clock()
        if wait > 0:
            raise ServerUnavailableError(
                f"the model for {self._name} failed {self._failures} times in a row and is left alone; "
                f"try again in {wait:.1f} s",
                reason="TASK_FAILING",
            )
        self._until = self._clock() + self._pause  # this one is to see; the others wait for what comes of it

    def succeeded(self) -> None:
        """Count an answer."""
        was_open, self._failures = self.is_open, 0
        if was_open:
            self._told(False)

    def failed(self, error: Exception) -> None:
        """Count a call that the model failed; one that was wrong itself, or was one too many, does not count."""
        if isinstance(error, OverloadedError | InvalidRequestError):
            return
        was_open, self._failures = self.is_open, self._failures + 1
        self._until = self._clock() + self._pause
        if self.is_open and not was_open:
            self._told(True)

    def gave_no_answer(self, seconds: float) -> None:
        """Count a call that was given up after so many seconds."""
        if seconds >= _FAIR_SECONDS:
            self.failed(TimeoutError())
