"""Closed-loop load on a server: so many requests, so many in flight; latencies, errors, CPU of its process tree."""

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil

import mien


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run measured. Times are wall time, but for the CPU's."""

    requests: int
    in_flight: int
    errors: dict[str, int]
    """Failed calls and failed tasks, by code."""
    faces: int
    requests_per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_ms_per_request: float
    """CPU time of the server's whole process tree, user and system."""
    rss_mib: float
    """Resident memory of the process tree, after the run."""

    def to_dict(self) -> dict[str, object]:
        """Return the figures, rounded to what they are worth."""
        return {name: round(value, 2) if isinstance(value, float) else value for name, value in asdict(self).items()}


def run(address: str, pid: int, photographs: Sequence[Path], requests: int, in_flight: int) -> Figures:
    """Send `requests` over the photographs in turn, with `in_flight` callers, to the server of process `pid`."""
    images = [path.read_bytes() for path in photographs]
    errors: Counter[str] = Counter()
    faces = 0
    with mien.Client(address, timeout=60) as client:

        def call(index: int) -> tuple[float, mien.Analysis | mien.MienError]:
            started = time.perf_counter()
            try:
                outcome: mien.Analysis | mien.MienError = client.analyze(images[index % len(images)])
            except mien.MienError as error:
                outcome = error
            return time.perf_counter() - started, outcome

        cpu, started = cpu_seconds(pid), time.perf_counter()
        with ThreadPoolExecutor(in_flight) as pool:
            outcomes = list(pool.map(call, range(requests)))
        elapsed, cpu = time.perf_counter() - started, cpu_seconds(pid) - cpu
    for _, outcome in outcomes:
        if isinstance(outcome, mien.Analysis):
            faces += len(outcome.faces)
            errors.update(task.code for task in outcome.tasks if not task.ok)
        else:
            errors[type(outcome).__name__] += 1
    latencies = np.array([seconds for seconds, _ in outcomes]) * 1e3
    p50, p95, p99 = (float(value) for value in np.percentile(latencies, (50, 95, 99)))
    rss = sum(process.memory_info().rss for process in tree(pid)) / 2**20
    return Figures(
        requests, in_flight, dict(errors), faces, requests / elapsed, p50, p95, p99, 1e3 * cpu / requests, rss
    )


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and all below it."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process tree has used, of processes that ended and were waited for too."""
    total = 0.0
    for process in tree(pid):
        times = process.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total
