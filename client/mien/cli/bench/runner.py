"""Generate load on an engine, in a closed loop (calls in flight) or an open loop (calls per second)."""

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
    """Parameters of a load. Times are in seconds."""

    concurrency: int | None = None
    """Closed loop: number of callers, each of which starts its next call when the previous one has ended."""
    rate: float | None = None
    """Open loop: mean calls per second, with Poisson arrivals, independent of the calls in flight."""
    duration: float
    warmup: float
    """Time before `duration` whose calls are not counted."""
    timeout: float
    """Timeout of a call."""
    seed: int = 0
    """Seed of the arrivals of the open loop."""

    def __post_init__(self) -> None:
        if (self.concurrency is None) == (self.rate is None):
            raise InvalidRequestError("pass a concurrency (closed loop) or a rate (open loop), not both")


@dataclass(frozen=True, slots=True)
class Sample:
    """One call. Times are in seconds from the start of the load."""

    due: float
    """When the call was due. If an open loop falls behind, the delay counts as part of the call's latency."""
    ended: float
    outcome: pb.AnalyzeResponse | int
    """The response, or the `google.rpc.Code` of the error."""


async def measure(engine: AsyncEngine, requests: Sequence[pb.AnalyzeRequest], load: Load) -> list[Sample]:
    """Run a load on an engine with the requests in turn; return the samples that were due after the warm-up."""
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
    """Yield the time of each arrival of the open loop when it is due, late ones at once."""
    dice, due = random.Random(load.seed), 0.0
    while (due := due + dice.expovariate(load.rate or 1)) < load.warmup + load.duration:
        wait = due - (time.perf_counter() - begin)
        if wait > 0:
            await asyncio.sleep(wait)
        yield due
