"""Load on an engine: so many calls in flight, or so many a second, for some time; every call becomes a sample."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import cycle

from mien.errors import InvalidRequestError, MienError
from mien.request import call_metadata
from mien.transport.base import AsyncEngine
from mien.transport.methods import ANALYZE
from mien.v1 import face_service_pb2 as pb


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked of the engine. Times are in seconds."""

    concurrency: int | None = None
    """Closed loop: calls in flight; each caller makes its next call when its last one has ended."""
    rate: float | None = None
    """Open loop: calls a second on average, at random moments (Poisson), whether earlier calls have ended or not."""
    duration: float
    warmup: float
    """Time before `duration`, whose calls are made but not counted."""
    timeout: float
    """Time that one call may take."""
    seed: int = 0
    """Of the moments of the open loop."""

    def __post_init__(self) -> None:
        if (self.concurrency is None) == (self.rate is None):
            raise InvalidRequestError("name a concurrency (closed loop) or a rate (open loop), not both")


@dataclass(frozen=True, slots=True)
class Sample:
    """One call. Moments are seconds from the load's begin."""

    due: float
    """When it was to be made: an open loop that falls behind makes the wait part of the call's time."""
    ended: float
    outcome: pb.AnalyzeResponse | int
    """What was answered, or the `google.rpc.Code` of the error."""


async def measure(engine: AsyncEngine, requests: Sequence[pb.AnalyzeRequest], load: Load) -> list[Sample]:
    """Put a load on an engine, with the requests in turn; returns the samples that were due after the warm-up."""
    begin = time.perf_counter()
    samples: list[Sample] = []
    turns = cycle(requests)

    async def call(due: float) -> None:
        outcome: pb.AnalyzeResponse | int
        try:
            outcome = (await engine.call(ANALYZE, next(turns), load.timeout, call_metadata({}))).message
        except MienError as error:
            outcome = error.code
        samples.append(Sample(due, time.perf_counter() - begin, outcome))

    async def caller() -> None:
        while (now := time.perf_counter() - begin) < load.warmup + load.duration:
            await call(now)

    async with asyncio.TaskGroup() as group:
        if load.rate is None:
            for _ in range(load.concurrency or 1):
                group.create_task(caller())
        else:
            async for due in _moments(load, begin):
                group.create_task(call(due))
    return [sample for sample in samples if sample.due >= load.warmup]


async def _moments(load: Load, begin: float) -> AsyncIterator[float]:
    """Yield each moment of the open loop when it has come, late ones at once."""
    dice, due = random.Random(load.seed), 0.0
    while (due := due + dice.expovariate(load.rate or 1)) < load.warmup + load.duration:
        wait = due - (time.perf_counter() - begin)
        if wait > 0:
            await asyncio.sleep(wait)
        yield due
