"""The process id of a server in a file, locked while the server runs."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mien.errors import SettingsError


@contextmanager
def held(path: Path | None) -> Iterator[None]:
    """Write this process's id to a file, and lock it until the end of the block; remove it then.

    Args:
        path: The file; None for none.

    Raises:
        SettingsError: The file cannot be written, or another server that runs has it.

    """
    if path is None:
        yield
        return
    try:
        file = path.open("a+", encoding="ascii")
    except OSError as error:
        raise SettingsError(f"server.pid_file {path}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingsError(f"server.pid_file {path}: another server with this file is running") from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def running(path: Path) -> int | None:
    """Return the id of the process that holds a file, or None without one.

    Raises:
        SettingsError: The file cannot be read.

    """
    try:
        with path.open(encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsError(f"server.pid_file {path}: {error.strerror}") from error
    return None
