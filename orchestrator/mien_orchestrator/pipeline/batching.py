"""Batch crops across requests: while a model is busy, crops are queued; its next call takes them all.

A call has a fixed cost, and a crop in a batch costs less than one alone. Nothing waits for a batch to fill: crops that
meet a free model leave at once.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mien.errors import (
    DeadlineExceededError,
    MienError,
    OverloadedError,
    ServerError,
    ServerUnavailableError,
    from_status,
)
from mien_models.registry import ANSWERS
from mien_models.spec import Task
from mien_orchestrator.pipeline.admission.fair_queue import FairQueue, PriorityQueues
from mien_orchestrator.pipeline.backend import LOW_PRIORITY, ModelCall, Prediction
from mien_orchestrator.pipeline.call_limit import CallLimit
from mien_orchestrator.pipeline.circuit_breaker import CircuitBreaker

_LOG = logging.getLogger(__name__)

_NOT_THE_CROPS = (OverloadedError, ServerUnavailableError, DeadlineExceededError)
"""Errors of the model's host rather than of its input, which a smaller batch would not avoid."""

WORKER_DOWN = "WORKER_DOWN"
"""Reason of an error if no worker of the model is running."""

_ROUNDING = 0.01
"""Seconds by which a caller's clock may run ahead of its deadline."""


@dataclass(slots=True, eq=False)
class _Item:
    """The crops and tasks of one request, and the future of their prediction."""

    tasks: Sequence[Task]
    crops: NDArray[np.uint8]
    arrived: float
    deadline: float
    answer: "asyncio.Future[Prediction]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def fail(self, error: Exception) -> None:
        """Fail the request with a copy of the error: a raised exception collects the traceback of each raiser."""
        if not self.answer.done():
            own = from_status(error.code, error.message, error.reason) if isinstance(error, MienError) else error
            self.answer.set_exception(own)


class Batcher:
    """Joins requests for one model into batches. Not thread-safe: for one event loop."""

    def __init__(
        self,
        call: ModelCall,
        *,
        best_batch: int,
        slots: Callable[[], int],
        breaker: CircuitBreaker,
        limit: CallLimit | None = None,
    ) -> None:
        """Create an idle batcher.

        Args:
            call: Runs the model.
            best_batch: Most crops of one call, unless a single request has more.
            slots: Returns how many calls may run at once; at least one always may.
            breaker: Refuses requests while the model fails.
            limit: Time after which a call counts as hung; None waits until the deadline.

        """
        self._call = call
        self._limit = limit
        self._answered = 0.0
        """Time of the model's last answer, in event-loop time."""
        self._best_batch = best_batch
        self._slots = slots
        self._breaker = breaker
        self._queues: PriorityQueues[_Item] = PriorityQueues()
        self._calls: dict[asyncio.Task[None], list[_Item]] = {}
        self._low_calls: set[asyncio.Task[None]] = set()
        """Those of the calls that have low priority."""

    async def predict(
        self, tasks: Sequence[Task], crops: NDArray[np.uint8], deadline: float, caller: str = ""
    ) -> Prediction:
        """Answer some tasks of the model for (N, S, S, 3) uint8 crops, before a deadline in event-loop time.

        A request that is cancelled leaves its batch; a call that nobody waits for any more is cancelled.

        Raises:
            ServerUnavailableError: The circuit breaker is open.
            MienError: What the call raised.

        """
        self._breaker.admit()
        item = _Item(tasks, crops, asyncio.get_running_loop().time(), deadline)
        self._queues.push(caller, item, len(crops))
        self._start()
        try:
            return await item.answer
        finally:
            self._forget(item)
            self._queues.finished(caller)

    def _forget(self, item: _Item) -> None:
        self._queues.discard(item)
        for call, items in self._calls.items():
            if all(other.answer.done() for other in items):
                call.cancel()

    def _start(self) -> None:
        """Start the calls for which there are items and slots; those of low priority take no slot of the others."""
        slots = max(1, self._slots())
        while len(self._calls) - len(self._low_calls) < slots and (items := self._next(self._queues.first)):
            self._begin(items)
        while len(self._low_calls) < slots and (items := self._next(self._queues.further)):
            self._low_calls.add(self._begin(items, low=True))

    def _begin(self, items: list[_Item], *, low: bool = False) -> "asyncio.Task[None]":
        async def run() -> None:
            LOW_PRIORITY.set(low)
            await self._run(items)

        call = asyncio.create_task(run())
        self._calls[call] = items
        call.add_done_callback(self._ended)
        return call

    def _ended(self, call: "asyncio.Task[None]") -> None:
        del self._calls[call]
        self._low_calls.discard(call)
        self._start()

    def _next(self, queue: FairQueue[_Item]) -> list[_Item]:
        """Take the items of the next call from a queue, in fair order of callers; late ones fail instead."""
        now = asyncio.get_running_loop().time()
        items: list[_Item] = []
        room = self._best_batch
        while queue and (not items or len(queue.peek().crops) <= room):
            item = queue.pop()
            if item.deadline <= now:
                item.fail(
                    DeadlineExceededError("the model was busy for too long; raise the timeout or send fewer at once")
                )
            elif not item.answer.done():
                items.append(item)
                room -= len(item.crops)
        return items

    async def _run(self, items: Sequence[_Item]) -> None:
        """Make one call for all items; if it fails, bisect until the failing request is isolated."""
        items = [item for item in items if not item.answer.done()]
        if not items:
            return
        loop = asyncio.get_running_loop()
        tasks = list(dict.fromkeys(task for item in items for task in item.tasks))
        crops = items[0].crops if len(items) == 1 else np.concatenate([item.crops for item in items])
        started = loop.time()
        deadline = max(item.deadline for item in items)
        seconds = self._limit.seconds(len(crops)) if self._limit else None
        try:
            async with asyncio.timeout(seconds):
                prediction = await self._call(tasks, crops, deadline)
            _check(prediction, tasks, len(crops))
        except TimeoutError:
            self._hung(items, started, f"no answer for {' and '.join(tasks)} within {seconds:.1f} s")
        except asyncio.CancelledError:
            if loop.time() > deadline - _ROUNDING:  # all requests reached their deadlines
                self._breaker.abandoned(loop.time() - started)
            raise
        except Exception as error:
            if len(items) == 1 or isinstance(error, _NOT_THE_CROPS):
                if isinstance(error, MienError) and error.reason == WORKER_DOWN:
                    self._breaker.trip()  # no worker is running
                else:
                    self._breaker.failed(error)
                for item in items:
                    item.fail(error)
            else:
                _LOG.warning("a batch of %d requests failed and is bisected: %s", len(items), error)
                await self._run(items[: len(items) // 2])
                await self._run(items[len(items) // 2 :])
        else:
            self._breaker.succeeded()
            self._answered = loop.time()
            if self._limit:
                self._limit.record(self._answered - started)
            _distribute(prediction, items, started)

    def _hung(self, items: Sequence[_Item], started: float, message: str) -> None:
        """Fail the requests of a call without an answer, and the queue if no other call was answered either."""
        error = ServerUnavailableError(message, reason="TASK_HUNG")
        for item in items:
            item.fail(error)
        if self._answered < started:
            self._breaker.trip()
            for item in self._queues:
                item.fail(error)
        else:
            self._breaker.failed(error)


def _check(prediction: Prediction, tasks: Sequence[Task], count: int) -> None:
    """Raise an error unless the answers have one row per crop; others would reach the wrong request."""
    for name in (name for task in tasks for name in ANSWERS[task]):
        if name not in prediction.answers or len(prediction.answers[name]) != count:
            raise ServerError(
                f"tasks {', '.join(tasks)}: the model's {name!r} does not have one row for each of {count} crops"
            )


def _distribute(prediction: Prediction, items: Sequence[_Item], started: float) -> None:
    first = 0
    for item in items:
        rows = slice(first, first + len(item.crops))
        first = rows.stop
        if item.answer.done():
            continue
        queue_ms = (started - item.arrived) * 1e3 + prediction.queue_ms
        answers = {name: prediction.answers[name][rows] for task in item.tasks for name in ANSWERS[task]}
        item.answer.set_result(replace(prediction, answers=answers, queue_ms=queue_ms))
