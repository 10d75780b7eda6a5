"""Find and kill child processes, for the case that Ray can no longer stop them."""

import os
import signal
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")


def descendants(pid: int) -> list[int]:
    """Return all descendants of a process; empty without /proc, as on macOS."""
    below: dict[int, list[int]] = {}
    for entry in _PROC.glob("[0-9]*/stat"):
        with suppress(OSError):  # the process has ended
            fields = entry.read_text(errors="replace").rpartition(")")[2].split()
            below.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found = list(below.get(pid, []))
    for child in found:  # the list grows meanwhile
        found += below.get(child, [])
    return found


def kill(pids: list[int]) -> None:
    """Kill processes; those that have ended are ignored."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
