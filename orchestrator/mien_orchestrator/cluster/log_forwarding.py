"""Forward log lines of the orchestrators on this machine to the standard error of `mien serve`.

Ray writes what its processes print to files of their own. The lines travel over a datagram socket in a private folder;
on another machine, and once the command has ended, they go to the process's own standard error.
"""

import logging
import socket
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

_PATIENCE_SECONDS = 0.05
"""Seconds that a line may wait for the receiver; the kernel queues some ten lines."""

_LARGEST = 2**16
"""Maximum length of a line, in bytes; longer lines are truncated."""


class LogReceiver:
    """Writes received lines to standard error, in a thread."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="mien-logs-")
        self.path = str(Path(self._folder.name) / "socket")
        """Address of the socket, for `LogSender`."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._thread = threading.Thread(target=self._run, name="mien-logs", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while line := self._socket.recv(_LARGEST):
            sys.stderr.write(line.decode(errors="replace") + "\n")
            sys.stderr.flush()

    def close(self) -> None:
        """Write the lines received so far, and stop."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.path)
        self._thread.join()
        self._socket.close()
        self._folder.cleanup()


class LogSender(logging.Handler):
    """Sends formatted records to a `LogReceiver`, or to standard error if it does not respond."""

    def __init__(self, path: str) -> None:
        """Send to the socket at `path`."""
        super().__init__()
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(_PATIENCE_SECONDS)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
            return
        try:
            self._socket.sendto(line.encode()[:_LARGEST], self._path)
        except OSError:
            print(line, file=sys.__stderr__, flush=True)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        super().close()


def sender(path: str | None) -> LogSender | None:
    """Return a sender for the receiver at `path`, or None if it is not on this machine."""
    return LogSender(path) if path and Path(path).exists() else None
