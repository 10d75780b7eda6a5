"""Faults: what callers notice when a process of a cluster is killed, stopped or slow.

python benchmarks/faults.py --out benchmarks/results/faults.json

A cluster with one worker per task and two orchestrators gets calls from a few callers of the SDK with its default
settings. Each fault hits one process: `kill -9`, SIGSTOP, or SIGSTOP for five seconds. Every call is recorded until all
replies have been complete for some time. The table and the plot of `docs/serving.md` are made from the result file; the
normal latencies are those of the same callers before the first fault.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer
from matplotlib import pyplot

import mien
import weights
from measurements import Machine, command

_ROOT = Path(__file__).parent.parent
_PICTURE = _ROOT / "docs" / "faults.svg"
_EXAMPLE = _ROOT / "examples" / "astronaut.jpg"

_READY = "mien is ready at "
_NORMAL_SECONDS = 20.0
_BEFORE_SECONDS = 3.0
"""Seconds before each fault that the plot shows."""

_WHOLE_SECONDS = 5.0
"""Time of complete replies after which a cluster counts as recovered."""

_LONGEST_SECONDS = 120.0
_SLOW_SECONDS = 5.0

_WORKER_S = 0.5
"""Accepted length of the longest call above the normal p99 if a worker fails, in seconds."""

_ORCHESTRATOR_S = 2.0
"""Accepted length of the longest call if an orchestrator fails, in seconds."""


@dataclass(slots=True)
class Call:
    """A call: seconds since the start of the record, its length, and what its answer lacks."""

    began: float
    seconds: float
    missing: list[str] = field(default_factory=list)
    """Tasks without an answer."""
    failed: str = ""
    """The error of a call without any answer."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault."""

    name: str
    deployment: str
    inflict: Callable[[int], Awaitable[None]]
    """Takes the process id of the victim."""


async def kill(pid: int) -> None:
    """End the process at once."""
    os.kill(pid, signal.SIGKILL)


async def stop(pid: int) -> None:
    """Stop the process for good; the cluster has to replace it."""
    os.kill(pid, signal.SIGSTOP)


async def slow(pid: int) -> None:
    """Stop the process for some seconds."""
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(_SLOW_SECONDS)
    os.kill(pid, signal.SIGCONT)


FAULTS = (
    Fault("the emotion worker is killed", "emotion", kill),
    Fault("the emotion worker is stopped", "emotion", stop),
    Fault(f"the emotion worker stands still for {_SLOW_SECONDS:g} s", "emotion", slow),
    Fault("an orchestrator is killed", "orchestrator", kill),
    Fault("an orchestrator is stopped", "orchestrator", stop),
)


class Callers:
    """Callers, each with a client of its own, that record every call."""

    def __init__(self, address: str, count: int) -> None:
        self._address = address
        self._count = count
        self._began = time.monotonic()
        self._ended = False
        self.calls: list[Call] = []

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    async def run(self) -> None:
        """Call until `end`."""
        await asyncio.gather(*(self._call() for _ in range(self._count)))

    def end(self) -> None:
        """Let each caller end after its call."""
        self._ended = True

    async def _call(self) -> None:
        image = _EXAMPLE.read_bytes()
        async with mien.AsyncClient(self._address) as client:
            while not self._ended:
                call = Call(round(self.now, 4), 0.0)
                try:
                    analysis = await client.analyze(image)
                except mien.MienError as error:
                    call.failed = repr(error)[:200]
                else:
                    call.missing = [task.name for task in analysis.tasks if not task.ok]
                call.seconds = round(self.now - call.began, 4)
                self.calls.append(call)

    async def wait_until_whole(self, since: float) -> float:
        """Wait until all answers are complete; return the seconds from `since` to the last that was not."""
        while self.now < since + _LONGEST_SECONDS:
            await asyncio.sleep(0.2)
            broken = [call.began + call.seconds for call in self.calls if call.failed or call.missing]
            last = max([since, *broken])
            if self.now > last + _WHOLE_SECONDS:
                return last - since
        raise SystemExit(f"not whole again after {_LONGEST_SECONDS:g} s")


def main(
    out: Annotated[Path, typer.Option(help="Result file.")],
    callers: Annotated[int, typer.Option(help="Calls in flight.")] = 4,
    rounds: Annotated[int, typer.Option(help="Times that each fault is repeated.")] = 3,
) -> None:
    """Inflict every fault, write the result file and the plot, and print the table."""
    machine = Machine.here()
    with _serving() as (pid, address):
        normal_ms, rows = asyncio.run(_measure(pid, address, callers, rounds))
    document = {
        "command": command(),
        "machine": asdict(machine),
        "weights": weights.defaults("mien"),
        "callers": callers,
        "normal_ms": normal_ms,
        "faults": rows,
    }
    out.write_text(json.dumps(document, indent=1) + "\n")
    _draw(document, _PICTURE)
    print(table(document))


@contextmanager
def _serving() -> Iterator[tuple[int, str]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    two = {"MIEN_ORCHESTRATOR__SCALING__MIN_REPLICAS": "2", "MIEN_ORCHESTRATOR__SCALING__MAX_REPLICAS": "2"}
    words = [Path(sys.executable).parent / "mien", "serve", "--port", port]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=os.environ | two) as server:
        assert server.stdout
        line = server.stdout.readline().strip()
        if not line.startswith(_READY):
            raise SystemExit("the server did not start")
        try:
            yield server.pid, line.removeprefix(_READY)
        finally:
            server.terminate()
            server.wait(120)


def _replicas(pid: int, deployment: str) -> list[int]:
    """Return the process ids of a deployment's replicas."""
    title = f"ray::ServeReplica:mien:{deployment}"
    below = psutil.Process(pid).children(recursive=True)
    return [process.pid for process in below if " ".join(process.cmdline()).startswith(title)]


async def _measure(pid: int, address: str, count: int, rounds: int) -> tuple[dict[str, float], list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    normal = Callers(address, count)
    running = asyncio.create_task(normal.run())
    await asyncio.sleep(_NORMAL_SECONDS)
    normal.end()
    await running
    settled = [call.seconds for call in normal.calls if call.began > _NORMAL_SECONDS / 4]
    normal_ms = {f"p{share}": round(float(np.percentile(settled, share)) * 1e3, 1) for share in (50, 99)}
    for fault in FAULTS:
        for number in range(rounds):
            before = len(_replicas(pid, fault.deployment))
            callers = Callers(address, count)
            running = asyncio.create_task(callers.run())
            await asyncio.sleep(_BEFORE_SECONDS)
            struck = callers.now
            await fault.inflict(_replicas(pid, fault.deployment)[0])
            whole = await callers.wait_until_whole(struck)
            callers.end()
            await running
            rows.append(_row(fault, number, callers.calls, struck, whole))
            print(json.dumps({key: value for key, value in rows[-1].items() if key != "calls"}), flush=True)
            await _wait_for_replicas(pid, fault.deployment, before)
    return normal_ms, rows


async def _wait_for_replicas(pid: int, deployment: str, count: int) -> None:
    ends = time.monotonic() + _LONGEST_SECONDS
    while len(_replicas(pid, deployment)) != count:
        if time.monotonic() > ends:
            raise SystemExit("the cluster did not replace the process")
        await asyncio.sleep(0.5)


def _row(fault: Fault, number: int, calls: Sequence[Call], struck: float, whole: float) -> dict[str, Any]:
    since = [call for call in calls if call.began + call.seconds >= struck]
    return {
        "fault": fault.name,
        "deployment": fault.deployment,
        "round": number,
        "calls_since": len(since),
        "failed": sum(bool(call.failed) for call in since),
        "partial": sum(bool(call.missing) for call in since),
        "longest_s": max(call.seconds for call in since),
        "whole_after_s": round(whole, 2),
        "calls": [
            [round(call.began + call.seconds - struck, 3), call.seconds, len(call.missing) + 9 * bool(call.failed)]
            for call in calls
        ],
    }


def table(document: dict[str, Any]) -> str:
    """Return the table of the result file in Markdown."""
    normal = document["normal_ms"]
    lines = ["| fault | longest call | target | failed | partial, of all calls | complete again after |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for name in dict.fromkeys(row["fault"] for row in document["faults"]):
        rows = [row for row in document["faults"] if row["fault"] == name]
        worker = rows[0]["deployment"] != "orchestrator"
        target = normal["p99"] / 1e3 + _WORKER_S if worker else _ORCHESTRATOR_S
        longest = [row["longest_s"] for row in rows]
        lines.append(
            f"| {name} | {_range(longest, 2)} s | {target:.2f} s{'' if max(longest) <= target else ': **missed**'} "
            f"| {sum(row['failed'] for row in rows)} | {sum(row['partial'] for row in rows)} of "
            f"{sum(row['calls_since'] for row in rows):,} | {_range([row['whole_after_s'] for row in rows], 1)} s |"
        )
    return "\n".join(lines)


def _range(values: Sequence[float], digits: int) -> str:
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return low if low == high else f"{low}-{high}"


def _draw(document: dict[str, Any], path: Path) -> None:
    """Draw the first round of every fault: each call at its end, with its length."""
    pyplot.rcParams["svg.hashsalt"] = "mien"
    rows = [row for row in document["faults"] if row["round"] == 0]
    figure, axes = pyplot.subplots(len(rows), 1, figsize=(8, 1.7 * len(rows)), layout="constrained", squeeze=False)
    kinds = (
        ("complete", "#2a7f62", lambda lack: lack == 0),
        ("a task is missing", "#c58b00", lambda lack: 0 < lack < 9),
    )
    for axis, row in zip(axes[:, 0], rows, strict=True):
        for label, colour, is_kind in (*kinds, ("failed", "#b00020", lambda lack: lack >= 9)):
            chosen = [(ended, 1e3 * seconds) for ended, seconds, lack in row["calls"] if is_kind(lack)]
            axis.scatter(*zip(*chosen, strict=True) if chosen else ((), ()), s=5, color=colour, label=label)
        axis.axvline(0, color="#444444", linewidth=0.8)
        axis.set_yscale("log")
        axis.set_ylabel("ms")
        axis.set_title(row["fault"], loc="left", fontsize=10)
    axes[0, 0].legend(loc="upper right", ncols=3, fontsize=8, frameon=False)
    axes[-1, 0].set_xlabel("seconds since the fault")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


if __name__ == "__main__":
    typer.run(main)
