"""The processes below this one, for when Ray cannot end them any more."""

import os
import signal
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")


def descendants(pid: int) -> list[int]:
    """Return the processes below a process; none where there is no /proc, as on macOS."""
    below: dict[int, list[int]] = {}
    for entry in _PROC.glob("[0-9]*/stat"):
        with suppress(OSError):  # a process that has just ended
            fields = entry.read_text(errors="replace").rpartition(")")[2].split()
            below.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found = list(below.get(pid, []))
    for child in found:  # which grows meanwhile
        found += below.get(child, [])
    return found


def kill(pids: list[int]) -> None:
    """End processes at once; those that have ended already are left out."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
