"""Run the attacks of the tests on a larger scale, and measure their effect on another caller.

python benchmarks/attack.py --out benchmarks/results/attack.json

The attackers run in processes of their own on the same machine, so they also take its CPU from the neighbour, which
sends one small photograph after the other. Its normal latencies are measured on the same server before each attack.
"""

import json
import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import psutil
import typer

import mien
from half_sent import HalfSentCall
from hostile_images import BOMBS, LARGEST
from measurements import Machine, command
from mien.transport.methods import ANALYZE
from soak import serving
from storms import cancel_storm, sigterm, terminate

_EXAMPLE = Path(__file__).parent.parent / "examples" / "astronaut.jpg"

_SAMPLE_SECONDS = 0.02

_SPAWN = multiprocessing.get_context("spawn")


@dataclass(slots=True)
class Neighbour:
    """A well-behaved caller: its latencies in seconds, and its errors."""

    seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    attack: str
    figure: str
    target: str
    measured: str
    met: bool


def main(
    out: Annotated[Path, typer.Option(help="Result file.")],
    seconds: Annotated[float, typer.Option(help="Length of each attack.")] = 15,
    rounds: Annotated[int, typer.Option(help="Number of servers that get SIGTERM, in each deployment mode.")] = 10,
    away: Annotated[float, typer.Option(help="Seconds for which the server of an idle client is gone.")] = 60,
    cluster: Annotated[bool, typer.Option(help="Also end clusters.")] = True,
) -> None:
    """Run every attack and print a table of targets and measurements."""
    machine = Machine.here()
    rows: list[Row] = []

    def add(*found: Row) -> None:
        rows.extend(found)
        for row in found:
            met = "met" if row.met else "MISSED"
            print(f"{met}: {row.attack}: {row.figure} {row.measured} (target {row.target})", flush=True)
        document = {"command": command(), "machine": asdict(machine), "rows": [asdict(row) for row in rows]}
        out.write_text(json.dumps(document, indent=1) + "\n")

    for name, make in (BOMBS | LARGEST).items():
        add(*images(name, make(), seconds))
    add(cancelled(seconds, 0.0), cancelled(seconds, 0.05))
    add(half_sent())
    add(terminated(rounds, "single", "--inline"))
    if cluster:
        add(terminated(rounds, "cluster"))
    add(returned(away))


def images(name: str, data: bytes, seconds: float) -> list[Row]:
    """Let four callers send an expensive image all the time."""
    with serving("--inline") as (pid, address):
        normal = measure(address, seconds)
        with watched(pid) as memory, attacking(send_images, address, data, seconds, count=4) as running:
            during = measure(address, seconds, running)
    p99 = float(np.percentile(normal.seconds, 99))
    longest = max(during.seconds, default=0.0)
    attack = f"{name}, 4 at once"
    return [
        Row(
            attack,
            "neighbour's longest call",
            f"normal p99 + 0.5 s = {p99 + 0.5:.2f} s, 0 errors",
            f"{longest:.2f} s, {during.errors.total()} errors",
            longest <= p99 + 0.5 and not during.errors,
        ),
        Row(attack, "memory above idle", "600 MiB", f"{memory[0]:.0f} MiB", memory[0] <= 600),
    ]


def cancelled(seconds: float, delay: float) -> Row:
    """Let clients begin and cancel calls over ten connections."""
    name = "cancel storm" if delay else "rapid reset"
    with serving("--inline") as (_, address):
        measure(address, 1)
        arguments = (address, _EXAMPLE.read_bytes(), seconds, 5, delay)
        with attacking(cancel_storm, *arguments, count=2) as running:
            during = measure(address, seconds, running)
    total = len(during.seconds) + during.errors.total()
    return Row(
        f"{name} on 10 connections",
        "neighbour's failures",
        "0",
        f"{during.errors.total()} of {total} {dict(during.errors) or ''}".strip(),
        total > 0 and not during.errors,
    )


def half_sent(count: int = 100, half: int = 19_000_000) -> Row:
    """Stall uploads, each over its own connection."""
    with serving("--inline") as (pid, address), ExitStack() as stack:
        measure(address, 1)
        with watched(pid) as memory:
            calls = [stack.enter_context(HalfSentCall(address, ANALYZE.path, half + 1_000_000)) for _ in range(count)]
            threads = [threading.Thread(target=call.send, args=(half, 1)) for call in calls]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            measure(address, 2)
    return Row(f"{count} half-sent uploads", "memory above idle", "300 MiB", f"{memory[0]:.0f} MiB", memory[0] <= 300)


def terminated(rounds: int, mode: str, *options: str) -> Row:
    """End servers that have 100 calls in flight."""
    failed = Counter[str]()
    for _ in range(rounds):
        with serving(*options) as (pid, address):
            errors = terminate(address, sigterm(pid), _EXAMPLE.read_bytes())
            failed.update(error.code().name for error in errors)  # type: ignore[attr-defined]
    return Row(
        f"SIGTERM with 100 calls in flight, {mode}, {rounds} times",
        "failed calls",
        f"0 of {100 * rounds}",
        f"{failed.total()} {dict(failed) or ''}".strip(),
        not failed,
    )


def returned(away: float) -> Row:
    """Stop a server, start it again, and measure the latency of the next call of an idle client."""
    port = 0
    with ExitStack() as stack:
        with serving("--inline") as (_, address):
            client = stack.enter_context(mien.Client(address))
            client.analyze(_EXAMPLE)
            port = int(address.rpartition(":")[2])
        time.sleep(away)
        with serving("--inline", port=port):
            began = time.monotonic()
            client.analyze(_EXAMPLE)
            elapsed = time.monotonic() - began
    return Row(
        f"server gone for {away:g} s, then back",
        "an idle client's first call",
        "1.5 s",
        f"{elapsed:.2f} s",
        elapsed <= 1.5,
    )


def measure(address: str, seconds: float, running: Callable[[], bool] = lambda: False) -> Neighbour:
    """Send one photograph after the other for some seconds, and as long as the attack runs."""
    found, image = Neighbour(), _EXAMPLE.read_bytes()
    ends = time.monotonic() + seconds
    with mien.Client(address, timeout=30) as client:
        while time.monotonic() < ends or running():
            began = time.monotonic()
            try:
                client.analyze(image)
            except mien.MienError as error:
                found.errors[error.reason or type(error).__name__] += 1
            else:
                found.seconds.append(time.monotonic() - began)
    return found


def send_images(address: str, data: bytes, seconds: float) -> None:
    """Send an image again and again; errors are expected."""
    ends = time.monotonic() + seconds
    with mien.Client(address, timeout=30) as client:
        while time.monotonic() < ends:
            try:
                client.analyze(data)
            except mien.MienError:
                continue


@contextmanager
def attacking(target: Callable[..., object], *arguments: object, count: int) -> Iterator[Callable[[], bool]]:
    """Run attackers in processes of their own; yields whether one of them still runs."""
    processes = [_SPAWN.Process(target=target, args=arguments) for _ in range(count)]
    for process in processes:
        process.start()
    yield lambda: any(process.is_alive() for process in processes)
    for process in processes:
        process.join()
        if process.exitcode:
            raise SystemExit(f"an attacker ended with {process.exitcode}")


@contextmanager
def watched(pid: int) -> Iterator[list[float]]:
    """Sample a process's memory; yields a list that has its peak above the start, in MiB, once the block ends."""
    resident = psutil.Process(pid).memory_info
    idle, ended, peak = resident().rss, threading.Event(), [0.0]

    def sample() -> None:
        while not ended.wait(_SAMPLE_SECONDS):
            peak[0] = max(peak[0], (resident().rss - idle) / 2**20)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


if __name__ == "__main__":
    typer.run(main)
