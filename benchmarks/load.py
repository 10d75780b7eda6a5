"""Generate load: closed loops (a fixed number of calls in flight) and open loops (Poisson arrivals)."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from answers import AnswerError, difference, face_count
from clients import CallError, SystemClient
from pipeline import Reply
from processes import cpu_seconds


@dataclass(frozen=True, slots=True)
class Photograph:
    """An image file and the models' predictions for it."""

    name: str
    data: bytes
    expected: Reply


@dataclass(frozen=True, slots=True)
class Metrics:
    """Results of one run."""

    load: str
    """`closed` or `open`."""
    in_flight: int | None
    """Concurrent calls of a closed loop."""
    share: float | None
    """Rate of an open loop, as a fraction of the system's capacity."""
    requests: int
    errors: dict[str, int]
    """Failed calls, by name."""
    requests_per_second: float
    """Successful calls per second, from the first call to the last response."""
    faces_per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    """From the time at which a call was due, which in an open loop does not depend on earlier calls."""
    cpu_ms_per_request: float
    """CPU time of the system's process tree; contains the client's only if they share a process."""
    client_cpu_ms_per_request: float


@dataclass(frozen=True, slots=True)
class _Call:
    photograph: Photograph
    seconds: float
    answer: object
    error: str | None


class Load:
    """Generates load on one system, whose process id is `pid`."""

    def __init__(self, client: SystemClient, pid: int, photographs: Sequence[Photograph]) -> None:
        self._client = client
        self._pid = pid
        self._prepared = [(photograph, client.prepare(photograph.data)) for photograph in photographs]

    async def check(self) -> None:
        """Request every photograph once; raises `AnswerError` for an unexpected response."""
        calls = [await self._call(index, time.perf_counter()) for index in range(len(self._prepared))]
        for call in calls:
            if call.error:
                raise AnswerError(f"{call.photograph.name}: {call.error}")
            self._compare(call)

    async def closed(self, in_flight: int, passes: int, seed: int) -> Metrics:
        """Run `passes` times over the photographs with `in_flight` concurrent calls."""
        order = self._order(passes, seed)
        waiting = iter(order)

        async def run_calls() -> list[_Call]:
            return [await self._call(index, time.perf_counter()) for index in waiting]

        async def run() -> list[_Call]:
            return list(chain.from_iterable(await asyncio.gather(*(run_calls() for _ in range(in_flight)))))

        return await self._measure(run, load="closed", in_flight=in_flight)

    async def open(self, share: float, rate: float, passes: int, seed: int) -> Metrics:
        """Run `passes` times over the photographs with Poisson arrivals, on average `rate` per second."""
        order = self._order(passes, seed)
        due = np.random.default_rng(seed).exponential(1 / rate, len(order)).cumsum().tolist()

        async def run() -> list[_Call]:
            start = time.perf_counter()
            calls = []
            for index, at in zip(order, due, strict=True):
                await asyncio.sleep(start + at - time.perf_counter())
                calls.append(asyncio.create_task(self._call(index, start + at)))
            return await asyncio.gather(*calls)

        return await self._measure(run, load="open", share=share)

    def _order(self, passes: int, seed: int) -> list[int]:
        random = np.random.default_rng(seed)
        return [int(index) for _ in range(passes) for index in random.permutation(len(self._prepared))]

    async def _call(self, index: int, due: float) -> _Call:
        photograph, request = self._prepared[index]
        answer, error = None, None
        try:
            answer = await self._client.call(request)
        except CallError as failed:
            error = str(failed)
        return _Call(photograph, time.perf_counter() - due, answer, error)

    async def _measure(
        self,
        run: Callable[[], Awaitable[list[_Call]]],
        *,
        load: str,
        in_flight: int | None = None,
        share: float | None = None,
    ) -> Metrics:
        cpu, own, started = cpu_seconds(self._pid), time.process_time(), time.perf_counter()
        calls = await run()
        elapsed, own, cpu = time.perf_counter() - started, time.process_time() - own, cpu_seconds(self._pid) - cpu
        answered = [call for call in calls if not call.error]
        for call in answered:
            self._compare(call)
        latencies = np.array([call.seconds for call in calls]) * 1e3
        p50, p95, p99 = (float(value) for value in np.percentile(latencies, (50, 95, 99)))
        return Metrics(
            load=load,
            in_flight=in_flight,
            share=share,
            requests=len(calls),
            errors=dict(Counter(call.error for call in calls if call.error)),
            requests_per_second=len(answered) / elapsed,
            faces_per_second=sum(face_count(call.photograph.expected) for call in answered) / elapsed,
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
            cpu_ms_per_request=1e3 * cpu / len(calls),
            client_cpu_ms_per_request=1e3 * own / len(calls),
        )

    def _compare(self, call: _Call) -> None:
        try:
            found = difference(self._client.read(call.answer), call.photograph.expected)
        except CallError as error:
            found = str(error)
        if found:
            raise AnswerError(f"{call.photograph.name}: {found}")
