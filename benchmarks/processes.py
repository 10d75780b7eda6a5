"""Measure CPU time and memory of a process and its descendants."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil


def cpu_seconds(pid: int) -> float:
    """Return the user and system CPU time of a process tree, including ended processes."""
    total = 0.0
    for process in _tree(pid):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def memory_mib(pid: int) -> float:
    """Return the memory of a process tree in MiB, with shared pages counted once (PSS)."""
    total = 0
    for process in _tree(pid):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total / 2**20


def resident_mib(pid: int) -> dict[str, float]:
    """Return the resident memory (RSS) of each process of a tree in MiB, by title and id."""
    found = {}
    for process in _tree(pid):
        with suppress(psutil.NoSuchProcess):
            found[f"{_title(process)} {process.pid}"] = process.memory_info().rss / 2**20
    return found


def replicas(pid: int, deployment: str) -> list[int]:
    """Return the process ids of a deployment's replicas below the process of a cluster."""
    title = re.compile(rf"ray::ServeReplica:mien:{deployment}(?![\w-])")
    found = []
    for process in _tree(pid):
        with suppress(psutil.NoSuchProcess):  # one that has ended meanwhile, or is a zombie
            if title.match(" ".join(process.cmdline())):
                found.append(process.pid)
    return found


def _title(process: psutil.Process) -> str:
    """Return a process's title: Ray's own titles, Python's script, otherwise the program."""
    words = process.cmdline()
    if not words or words[0].startswith("ray::"):
        # The actor, without its current method.
        return words[0].partition(".")[0] if words else process.name()
    if "python" not in Path(words[0]).name:
        return process.name()
    return next((Path(word).name for word in words[1:] if not word.startswith("-")), process.name())


def _tree(pid: int) -> Iterator[psutil.Process]:
    root = psutil.Process(pid)
    yield root
    yield from root.children(recursive=True)
