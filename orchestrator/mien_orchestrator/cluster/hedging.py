"""Hedge calls: call a second worker if the first is late or fails.

Source: Dean and Barroso, "The Tail at Scale", Communications of the ACM 56 (2013).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import numpy as np

from mien.errors import ServerUnavailableError

_LEAST_DELAY = 0.05
_CALLS = 200
_SHARE = 0.1
"""Extra calls, as a share of all calls."""

_BURST = 5.0
"""Maximum burst of extra calls."""

T = TypeVar("T")


class Hedge:
    """Decides when to make an extra call, and keeps extra calls within a budget."""

    def __init__(self) -> None:
        self._durations: deque[float] = deque(maxlen=_CALLS)
        self._budget = _BURST

    @property
    def delay(self) -> float:
        """Seconds after which a call is late: twice the recent 95th percentile, at least 50 ms."""
        recent = float(np.percentile(self._durations, 95)) if self._durations else _LEAST_DELAY
        return max(_LEAST_DELAY, 2 * recent)

    async def call(
        self, first: Callable[[], Awaitable[T]], second: Callable[[], Awaitable[T]] | None
    ) -> tuple[T, bool]:
        """Return the first answer of at most two calls, and whether it is the second's.

        The other call is cancelled. If one fails while the other runs, the other decides. A first call that fails with
        `ServerUnavailableError` is replaced at once, outside the budget.

        Args:
            first: Makes the call.
            second: Makes the extra call; None if there is no other worker.

        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        self._budget = min(_BURST, self._budget + _SHARE)
        calls = [asyncio.ensure_future(first())]
        try:
            await asyncio.wait(calls, timeout=self.delay if second else None)
            if second and (_is_down(calls[0]) or self._may_hedge(calls[0])):
                calls.append(asyncio.ensure_future(second()))
            answer = await _first_answer(calls)
        finally:
            for call in calls:
                call.cancel()
        self._durations.append(loop.time() - started)
        return answer.result(), answer is not calls[0]

    def _may_hedge(self, call: "asyncio.Future[T]") -> bool:
        """Take an extra call out of the budget, if the first is still running."""
        if call.done() or self._budget < 1:
            return False
        self._budget -= 1
        return True


def _is_down(call: "asyncio.Future[T]") -> bool:
    return call.done() and isinstance(call.exception(), ServerUnavailableError)


async def _first_answer(calls: "Sequence[asyncio.Future[T]]") -> "asyncio.Future[T]":
    """Return the first call that succeeded, or the last one if all failed."""
    pending = set(calls)
    while True:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        answered = next((call for call in done if call.exception() is None), None)
        if answered or not pending:
            return answered or calls[-1]
