"""Crops of waiting requests gather while a model is busy; the next call carries them all, and each gets its own back.

A call costs something whatever it carries, and a crop among others costs less than one alone. Nothing waits where
nothing is in the way: a stack of crops that meets a free model leaves at once.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

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
from mien_orchestrator.pipeline.backend import Call, Prediction
from mien_orchestrator.pipeline.circuit_breaker import Breaker

_LOG = logging.getLogger(__name__)

_NOT_THE_CROPS = (OverloadedError, ServerUnavailableError, DeadlineExceededError)
"""Errors of the model's place, not of what it was given: a smaller call would meet them again."""

_ROUNDING = 0.01
"""Seconds by which a caller's clock may be ahead of its deadline."""

Answer: TypeAlias = "asyncio.Future[Prediction]"


@dataclass(slots=True, eq=False)
class _Stack:
    """The crops of one request, and who waits for which task of them."""

    crops: NDArray[np.uint8]
    arrived: float
    deadline: float
    answers: dict[Task, Answer] = field(default_factory=dict)

    @property
    def wanted(self) -> list[Task]:
        """The tasks that somebody still waits for."""
        return [task for task, answer in self.answers.items() if not answer.done()]

    def fail(self, error: Exception) -> None:
        """Tell all who wait; each gets an error of its own, since a raised one gathers its raiser's traceback."""
        for task in self.wanted:
            own = from_status(error.code, error.message, error.reason) if isinstance(error, MienError) else error
            self.answers[task].set_exception(own)


class Coalescer:
    """Joins the calls of one model; used on one event loop."""

    def __init__(self, call: Call, *, best_batch: int, slots: Callable[[], int], breaker: Breaker) -> None:
        """Call a model with at most `best_batch` crops, or one larger stack; `slots` says how many calls at once."""
        self._call = call
        self._best_batch = best_batch
        self._slots = slots
        self._breaker = breaker
        self._gathering: deque[_Stack] = deque()
        self._calls: dict[asyncio.Task[None], list[_Stack]] = {}

    async def predict(self, task: Task, crops: NDArray[np.uint8], budget: float) -> Prediction:
        """Answer one task; see `Backend`. Tasks that come together with one and the same stack share a call.

        Raises what the call raises, and `ServerUnavailableError` at once while the breaker is open. Whoever is
        cancelled leaves; a call that nobody waits for any more is cancelled.
        """
        self._breaker.admit()
        loop = asyncio.get_running_loop()
        stack = self._gathering[-1] if self._gathering else None
        if stack is None or stack.crops is not crops or task in stack.answers:
            stack = _Stack(crops, loop.time(), loop.time() + budget)
            self._gathering.append(stack)
            loop.call_soon(self._start)  # once the request's other tasks, in this turn of the loop, have come too
        answer: Answer = loop.create_future()
        stack.answers[task] = answer
        try:
            return await answer
        finally:
            if not stack.wanted:
                self._forget(stack)

    def _forget(self, stack: _Stack) -> None:
        if stack in self._gathering:
            self._gathering.remove(stack)
        for call, stacks in self._calls.items():
            if not any(other.wanted for other in stacks):
                call.cancel()

    def _start(self) -> None:
        while len(self._calls) < max(1, self._slots()) and (stacks := self._next()):
            call = asyncio.create_task(self._run(stacks))
            self._calls[call] = stacks
            call.add_done_callback(self._ended)

    def _ended(self, call: "asyncio.Task[None]") -> None:
        del self._calls[call]
        self._start()

    def _next(self) -> list[_Stack]:
        """Take the stacks of the next call, in their order; those that are late already are told so instead."""
        now = asyncio.get_running_loop().time()
        stacks: list[_Stack] = []
        room = self._best_batch
        while self._gathering and (not stacks or len(self._gathering[0].crops) <= room):
            stack = self._gathering.popleft()
            if stack.deadline <= now:
                stack.fail(DeadlineExceededError("the model was busy for too long; wait longer or send less at once"))
            else:
                stacks.append(stack)
                room -= len(stack.crops)
        return stacks

    async def _run(self, stacks: Sequence[_Stack]) -> None:
        """Make one call for all; where it fails, for each half again, until the stack that spoils it is alone."""
        stacks = [stack for stack in stacks if stack.wanted]
        if not stacks:
            return
        loop = asyncio.get_running_loop()
        tasks = list(dict.fromkeys(task for stack in stacks for task in stack.wanted))
        crops = stacks[0].crops if len(stacks) == 1 else np.concatenate([stack.crops for stack in stacks])
        started = loop.time()
        deadline = max(stack.deadline for stack in stacks)
        try:
            prediction = await self._call(tasks, crops, deadline - started)
            _check(prediction, tasks, len(crops))
        except asyncio.CancelledError:
            if loop.time() > deadline - _ROUNDING:  # all gave up because they were late
                self._breaker.gave_no_answer(loop.time() - started)
            raise
        except Exception as error:
            if len(stacks) == 1 or isinstance(error, _NOT_THE_CROPS):
                self._breaker.failed(error)
                for stack in stacks:
                    stack.fail(error)
            else:
                _LOG.warning("a call for %d requests failed and is split: %s", len(stacks), error)
                await self._run(stacks[: len(stacks) // 2])
                await self._run(stacks[len(stacks) // 2 :])
        else:
            self._breaker.succeeded()
            _hand_out(prediction, stacks, started)


def _check(prediction: Prediction, tasks: Sequence[Task], count: int) -> None:
    """Refuse answers that are not one row a crop: they would be handed to the wrong request."""
    for name in (name for task in tasks for name in ANSWERS[task]):
        if name not in prediction.answers or len(prediction.answers[name]) != count:
            raise ServerError(
                f"tasks {', '.join(tasks)}: the model's {name!r} is not one answer for each of {count} crops"
            )


def _hand_out(prediction: Prediction, stacks: Sequence[_Stack], started: float) -> None:
    first = 0
    for stack in stacks:
        rows = slice(first, first + len(stack.crops))
        first = rows.stop
        queue_ms = (started - stack.arrived) * 1e3 + prediction.queue_ms
        for task in stack.wanted:
            answers = {name: prediction.answers[name][rows] for name in ANSWERS[task]}
            stack.answers[task].set_result(replace(prediction, answers=answers, queue_ms=queue_ms))
