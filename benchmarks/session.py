"""One system started, asked, loaded and ended: its first answer, its figures under each load, its memory."""

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

from callers import CALLERS, Caller, CallError
from load import Figures, Load, Photograph
from processes import memory_mib
from systems import HERE, System

_START_SECONDS = 180.0
_STOP_SECONDS = 30.0
_ASK_AGAIN_SECONDS = 0.05


class StartError(Exception):
    """A server that does not start; the message says where its log is."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a session measures."""

    in_flight: tuple[int, ...]
    """Calls at once of the closed loops."""
    shares: tuple[float, ...]
    """Rates of the open loops, as shares of the best closed loop's throughput in the same session."""
    passes: int
    """How often each loop goes over the photographs."""
    growth_passes: int
    """How often the loop over the pictures of growing groups goes over one picture, with one call at once."""
    seed: int


@dataclass(frozen=True, slots=True)
class Session:
    """What a session measured."""

    first_answer_s: float
    """From the start of the system's process to its first answer."""
    runs: tuple[Figures, ...]
    growth: tuple[Figures, ...]
    """One for each picture of a growing group, in their order."""
    memory_mib: float
    """Resident memory of the process tree after all that, shared pages counted once."""


async def measure(
    system: System,
    photographs: Sequence[Photograph],
    groups: Sequence[Photograph],
    plan: Plan,
    log: Path,
) -> Session:
    """Measure a system once; raises `StartError`, and `AnswerError` where an answer is not that of the models."""
    async with _started(system, log) as (caller, pid):
        await _first_answer(caller, photographs[0], pid, log)
        first = time.time() - psutil.Process(pid).create_time()
        load = Load(caller, pid, photographs)
        await load.check()
        await load.closed(max(plan.in_flight), 1, plan.seed)  # warms up every worker
        runs = [await load.closed(in_flight, plan.passes, plan.seed) for in_flight in plan.in_flight]
        capacity = max(run.requests_per_second for run in runs)
        runs += [await load.open(share, share * capacity, plan.passes, plan.seed) for share in plan.shares]
        growth = []
        for group in groups:
            load = Load(caller, pid, [group])
            await load.check()
            growth.append(await load.closed(1, plan.growth_passes, plan.seed))
        return Session(first, tuple(runs), tuple(growth), memory_mib(pid))


@asynccontextmanager
async def _started(system: System, log: Path) -> AsyncIterator[tuple[Caller, int]]:
    """Start a system; yields its caller and the id of the process that it runs in."""
    with _process(system, log) as (pid, address):
        caller = CALLERS[system.protocol](address)
        try:
            yield caller, pid
        finally:
            await caller.close()


@contextmanager
def _process(system: System, log: Path) -> Iterator[tuple[int, str]]:
    """Start a system's server; yields its process id and address. A system without one runs in this process."""
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
    """Ask a server to end, and end what is left of its processes by force."""
    processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    server.send_signal(signal.SIGTERM)
    for process in psutil.wait_procs(processes, timeout=_STOP_SECONDS)[1]:
        process.kill()
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)  # those whose parent had ended before
    server.wait()


async def _first_answer(caller: Caller, photograph: Photograph, pid: int, log: Path) -> None:
    """Ask until there is an answer."""
    request = caller.prepare(photograph.data)
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            caller.read(await caller.call(request))
            return
        except CallError as error:
            ended = not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
            if ended or time.monotonic() > until:
                raise StartError(f"no answer ({error}); {log.name} says why") from error
        await asyncio.sleep(_ASK_AGAIN_SECONDS)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
