"""The retry policy. It is the SDK's only one: gRPC's own retries are disabled in the channel.

Every RPC of `mien.transport.methods` is idempotent. A call is retried after

- UNAVAILABLE: no connection, or a server that is not ready;
- CANCELLED by the server or a proxy, such as one that ended while it handled the call;
- RESOURCE_EXHAUSTED with `google.rpc.RetryInfo`: an overloaded server, after the delay in it.

The n-th wait is 0.1 s x 2^(n-1), at most 1 s, or the server's `RetryInfo` if that is longer; up to a fifth of it is
added at random, so that callers that failed together do not return together. No attempt begins later than `WINDOW`
seconds after the first failure, nor after the call's timeout: at a server that always fails at once, 11 to 13 attempts.
A client that has not reached its server yet gives up after its `connect_timeout` instead. A call for which the
connection has no room, since 200 other calls are in flight on it, is retried until its own timeout.
"""

import random
import threading
import time
from dataclasses import dataclass, field

WINDOW = 10.0
"""Seconds after the first failure within which a call is retried."""

_FIRST, _LONGEST, _FACTOR = 0.1, 1.0, 2.0
"""Back-off in seconds: first wait, longest wait, and the factor between two waits."""

_JITTER = 0.2
"""Share of a wait that is added at random."""


class RetryBudget:
    """Bounds the load of retries on a failing server, as gRPC's retry throttling does (gRFC A6).

    A failed attempt that reached a server costs a token, a success earns a tenth; below half of the tokens, calls are
    not sent again. Attempts without a connection cost nothing, since no server has the load, nor do those that a server
    answered with `RetryInfo`, since it sets the pace itself.
    """

    def __init__(self, tokens: float = 100.0, earned: float = 0.1) -> None:
        self._most = self._tokens = tokens
        self._earned = earned
        self._lock = threading.Lock()

    def succeeded(self) -> None:
        """Count a success."""
        if self._tokens < self._most:
            with self._lock:
                self._tokens = min(self._tokens + self._earned, self._most)

    def failed(self) -> bool:
        """Count a failure; returns whether a retry is within the budget."""
        with self._lock:
            self._tokens = max(self._tokens - 1, 0.0)
            return self._tokens > self._most / 2


@dataclass(slots=True)
class Retries:
    """The retries of one call."""

    timeout: float
    """Seconds from the first attempt to the call's deadline."""
    began: float = field(default_factory=time.monotonic)
    failures: int = 0
    first_failure: float = 0.0
    """When the first attempt failed, on the clock of `time.monotonic`; at a server that hangs, long after it began."""

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.began + self.timeout - time.monotonic()

    def next_wait(self, advised: float | None = None, window: float = WINDOW) -> float | None:
        """Return the seconds to wait before the next attempt, or None to give up.

        Args:
            advised: Seconds to wait from the server's `RetryInfo`; None without one.
            window: Seconds after the first failure within which the call is retried.

        """
        now = time.monotonic()
        if not self.failures:
            self.first_failure = now
        backoff = min(_FIRST * _FACTOR**self.failures, _LONGEST)
        self.failures += 1
        wait = max(backoff, advised or 0.0) * (1 + _JITTER * random.random())
        return wait if now + wait < min(self.began + self.timeout, self.first_failure + window) else None
