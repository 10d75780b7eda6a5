"""Faults: what callers notice when a process of a cluster is killed, stopped or slow.

python benchmarks/faults.py --out benchmarks/results/faults.json

A cluster with one worker per task and two orchestrators gets calls from a few callers of the SDK with its default
settings. Each fault hits one process: `kill -9`, SIGSTOP, or SIGSTOP for five seconds. Every call is recorded until all
replies have been complete for some time. The table and the plot of `docs/serving.md` are made from the result file; the
normal latencies are those of the same callers before the first fault.
"""

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import fault_report
import mien
import weights
from measurements import Machine, command
from processes import replicas
from soak import serving

_ROOT = Path(__file__).parent.parent
_EXAMPLE = _ROOT / "examples" / "astronaut.jpg"

_SETTINGS = {"orchestrator": {"scaling": {"min_replicas": 2, "max_replicas": 2}}}
_SPAWN = multiprocessing.get_context("spawn")
_NORMAL_SECONDS = 20.0
_BEFORE_SECONDS = 3.0
"""Seconds before each fault that the plot shows."""

_WHOLE_SECONDS = 5.0
"""Time of complete replies after which a cluster counts as recovered."""

_LONGEST_SECONDS = 120.0
_SLOW_SECONDS = 5.0


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
    inflict: Callable[[int], None]
    """Takes the process id of the victim."""


def kill(pid: int) -> None:
    """End the process at once."""
    os.kill(pid, signal.SIGKILL)


def stop(pid: int) -> None:
    """Stop the process for good; the cluster has to replace it."""
    os.kill(pid, signal.SIGSTOP)


def slow(pid: int) -> None:
    """Stop the process for some seconds."""
    os.kill(pid, signal.SIGSTOP)
    threading.Timer(_SLOW_SECONDS, os.kill, (pid, signal.SIGCONT)).start()


FAULTS = (
    Fault("the emotion worker is killed", "emotion", kill),
    Fault("the emotion worker is stopped", "emotion", stop),
    Fault(f"the emotion worker stands still for {_SLOW_SECONDS:g} s", "emotion", slow),
    Fault("an orchestrator is killed", "orchestrator", kill),
    Fault("an orchestrator is stopped", "orchestrator", stop),
)


def _call_on(address: str, began: float, results: "SimpleQueue[Call | None]", ended: Event) -> None:
    """Call until `ended` is set; None in the queue says that the caller is connected."""
    image = _EXAMPLE.read_bytes()
    with mien.Client(address) as client:
        client.analyze(image)
        results.put(None)
        while not ended.is_set():
            call = Call(round(time.monotonic() - began, 4), 0.0)
            try:
                analysis = client.analyze(image)
            except mien.MienError as error:
                call.failed = repr(error)[:200]
            else:
                call.missing = [task.task for task in analysis.tasks if not task.ok]
            call.seconds = round(time.monotonic() - began - call.began, 4)
            results.put(call)


class Callers:
    """Callers that record every call, each in a process and on a connection of its own."""

    def __init__(self, address: str, count: int) -> None:
        self._began = time.monotonic()
        self._results: SimpleQueue[Call | None] = _SPAWN.SimpleQueue()
        self._ended = _SPAWN.Event()
        arguments = (address, self._began, self._results, self._ended)
        self._processes = [_SPAWN.Process(target=_call_on, args=arguments) for _ in range(count)]
        self.calls: list[Call] = []

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def __enter__(self) -> "Callers":
        """Start them, and wait until each is connected."""
        for process in self._processes:
            process.start()
        connected = 0
        while connected < len(self._processes):
            call = self._results.get()
            connected += call is None
        return self

    def __exit__(self, *error: object) -> None:
        """Let each caller end after its call."""
        self._ended.set()
        while any(process.is_alive() for process in self._processes):
            self.wait(0.1)
        self.wait(0)

    def wait(self, seconds: float) -> None:
        """Take the calls that end within a time."""
        ends = self.now + seconds
        while True:
            while not self._results.empty():
                call = self._results.get()
                if call:
                    self.calls.append(call)
            if self.now >= ends:
                return
            time.sleep(0.05)

    def wait_until_whole(self, since: float) -> float:
        """Wait until all answers are complete; return the seconds from `since` to the last that was not."""
        while self.now < since + _LONGEST_SECONDS:
            self.wait(0.5)
            broken = [call.began + call.seconds for call in self.calls if call.failed or call.missing]
            last = max([since, *broken])
            later = sum(call.began > last for call in self.calls)
            if later > len(self._processes) and self.now > last + _WHOLE_SECONDS:
                return last - since
        raise SystemExit(f"not whole again after {_LONGEST_SECONDS:g} s")


def main(
    out: Annotated[Path, typer.Option(help="Result file.")],
    callers: Annotated[int, typer.Option(help="Calls in flight.")] = 4,
    rounds: Annotated[int, typer.Option(help="Times that each fault is repeated.")] = 3,
) -> None:
    """Inflict every fault, write the result file and the plot, and print the table."""
    machine = Machine.here()
    with serving(settings=_SETTINGS) as (pid, address):
        normal_ms, rows = _measure(pid, address, callers, rounds)
    document = {
        "command": command(),
        "machine": asdict(machine),
        "weights": weights.defaults("mien"),
        "callers": callers,
        "normal_ms": normal_ms,
        "faults": rows,
    }
    out.write_text(json.dumps(document, indent=1) + "\n")
    fault_report.write(document)
    print(fault_report.table(document))


def _measure(pid: int, address: str, count: int, rounds: int) -> tuple[dict[str, float], list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    with Callers(address, count) as callers:
        callers.wait(_NORMAL_SECONDS)
    normal = [1e3 * call.seconds for call in callers.calls]
    normal_ms = {f"p{share}": round(float(np.percentile(normal, share)), 1) for share in (50, 99)}
    for fault in FAULTS:
        for number in range(rounds):
            before = len(replicas(pid, fault.deployment))
            with Callers(address, count) as callers:
                callers.wait(_BEFORE_SECONDS)
                struck = callers.now
                fault.inflict(replicas(pid, fault.deployment)[0])
                whole = callers.wait_until_whole(struck)
            rows.append(_row(fault, number, callers.calls, struck, whole))
            print(json.dumps({key: value for key, value in rows[-1].items() if key != "calls"}), flush=True)
            _wait_for_replicas(pid, fault.deployment, before)
    return normal_ms, rows


def _wait_for_replicas(pid: int, deployment: str, count: int) -> None:
    ends = time.monotonic() + _LONGEST_SECONDS
    while len(replicas(pid, deployment)) != count:
        if time.monotonic() > ends:
            raise SystemExit("the cluster did not replace the process")
        time.sleep(0.5)


def _point(call: Call, struck: float) -> tuple[float, float, int]:
    """Return the end of a call in seconds since the fault, its length, and how many tasks it lacks."""
    lacks = fault_report.FAILED if call.failed else len(call.missing)
    return round(call.began + call.seconds - struck, 3), call.seconds, lacks


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
        "calls": [] if number else [_point(call, struck) for call in calls],  # the plot shows the first round
    }


if __name__ == "__main__":
    typer.run(main)
