"""Measure one system in one session: start, first response, load, memory."""

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from clients import CLIENTS, CallError, SystemClient
from load import Load, Metrics, Photograph
from processes import memory_mib
from systems import HERE, System

_START_SECONDS = 180.0
_STOP_SECONDS = 30.0
_ASK_AGAIN_SECONDS = 0.05


class StartError(Exception):
    """A server that does not start; the message names its log."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The measurements of a session."""

    in_flight: tuple[int, ...]
    """Concurrent calls of the closed loops."""
    shares: tuple[float, ...]
    """Rates of the open loops, as fractions of the best closed-loop throughput of the same session."""
    passes: int
    """Passes of each loop over the photographs."""
    growth_passes: int
    """Passes over each group image, with one call at a time."""
    seed: int


@dataclass(frozen=True, slots=True)
class Session:
    """Results of a session."""

    first_answer_s: float
    """From process start to the first response."""
    runs: tuple[Metrics, ...]
    growth: tuple[Metrics, ...]
    """One for each group image, in order."""
    memory_mib: float
    """Memory of the process tree after all loops, shared pages counted once."""


async def measure(
    system: System,
    photographs: Sequence[Photograph],
    groups: Sequence[Photograph],
    plan: Plan,
    log: Path,
) -> Session:
    """Measure a system once; raises `StartError`, and `AnswerError` for unexpected predictions."""
    async with _started(system, log) as (client, pid):
        await _first_answer(client, photographs[0], pid, log)
        first = time.time() - psutil.Process(pid).create_time()
        load = Load(client, pid, photographs)
        await load.check()
        await load.closed(max(plan.in_flight), 1, plan.seed)  # warm-up of every worker
        runs = [await load.closed(in_flight, plan.passes, plan.seed) for in_flight in plan.in_flight]
        capacity = max(run.requests_per_second for run in runs)
        runs += [await load.open(share, share * capacity, plan.passes, plan.seed) for share in plan.shares]
        growth = []
        for group in groups:
            load = Load(client, pid, [group])
            await load.check()
            growth.append(await load.closed(1, plan.growth_passes, plan.seed))
        return Session(first, tuple(runs), tuple(growth), memory_mib(pid))


@asynccontextmanager
async def _started(system: System, log: Path) -> AsyncIterator[tuple[SystemClient, int]]:
    """Start a system; yield its client and process id."""
    with _process(system, log) as (pid, address):
        client = CLIENTS[system.protocol](address)
        try:
            yield client, pid
        finally:
            await client.close()


@contextmanager
def _process(system: System, log: Path) -> Iterator[tuple[int, str]]:
    """Start a system's server; yield its process id and address. In-process systems use this process."""
    if not system.words:
        yield os.getpid(), ""
        return
    port = _free_port()
    with log.open("wb") as output:
        server = subprocess.Popen(
            system.command(port), stdout=output, stderr=subprocess.STDOUT, cwd=HERE, start_new_session=True
        )
        try:
            yield server.pid, f"127.0.0.1:{port}"
        finally:
            _end(server)


def _end(server: "subprocess.Popen[bytes]") -> None:
    """Terminate a server, and kill those of its processes that remain."""
    processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    server.send_signal(signal.SIGTERM)
    for process in psutil.wait_procs(processes, timeout=_STOP_SECONDS)[1]:
        process.kill()
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)  # processes whose parent has ended
    server.wait()


async def _first_answer(client: SystemClient, photograph: Photograph, pid: int, log: Path) -> None:
    """Retry until the first response."""
    request = client.prepare(photograph.data)
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            client.read(await client.call(request))
            return
        except CallError as error:
            ended = not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
            if ended or time.monotonic() > until:
                raise StartError(f"no response ({error}); see {log.name}") from error
        await asyncio.sleep(_ASK_AGAIN_SECONDS)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
