"""Detect replaced files while the server runs."""

from collections.abc import Sequence
from pathlib import Path

_State = tuple[int, int, int]


class WatchedFiles:
    """Reports whether files were replaced since the last check; symbolic links are followed."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._seen = self._look()

    def changed(self) -> bool:
        """Return whether any file was replaced since the last call."""
        seen, self._seen = self._seen, self._look()
        return seen != self._seen

    def _look(self) -> list[_State | None]:
        return [_state(path) for path in self._paths]


def _state(path: Path) -> _State | None:
    try:
        found = path.stat()
    except OSError:  # being replaced, or removed
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
