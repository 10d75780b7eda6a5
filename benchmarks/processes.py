"""A process id in, the CPU time and the memory of that process and of all below it out."""

from collections.abc import Iterator
from contextlib import suppress

import psutil


def cpu_seconds(pid: int) -> float:
    """Return the CPU time, user and system, that a process tree has used, ended processes included."""
    total = 0.0
    for process in _tree(pid):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def memory_mib(pid: int) -> float:
    """Return the resident memory of a process tree, in MiB, pages that processes share counted once (PSS)."""
    total = 0
    for process in _tree(pid):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total / 2**20


def _tree(pid: int) -> Iterator[psutil.Process]:
    root = psutil.Process(pid)
    yield root
    yield from root.children(recursive=True)
