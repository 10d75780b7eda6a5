"""A process id in, the CPU time and the memory of that process and of all below it out."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

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


def resident_mib(pid: int) -> dict[str, float]:
    """Return the resident memory (RSS) of each process of a tree, in MiB, by what it runs and its id."""
    found = {}
    for process in _tree(pid):
        with suppress(psutil.NoSuchProcess):
            found[f"{_title(process)} {process.pid}"] = process.memory_info().rss / 2**20
    return found


def _title(process: psutil.Process) -> str:
    """Name a process: Ray's by their own titles, Python's by their scripts, others by their programs."""
    words = process.cmdline()
    if not words or words[0].startswith("ray::"):
        # The actor, without the method that it runs just now.
        return words[0].partition(".")[0] if words else process.name()
    if "python" not in Path(words[0]).name:
        return process.name()
    return next((Path(word).name for word in words[1:] if not word.startswith("-")), process.name())


def _tree(pid: int) -> Iterator[psutil.Process]:
    root = psutil.Process(pid)
    yield root
    yield from root.children(recursive=True)
