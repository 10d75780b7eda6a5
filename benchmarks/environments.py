"""Install each peer into its own virtual environment, from its pinned requirements."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Protocol

_REASON_LINES = 3


class Pinned(Protocol):
    """A system with a virtual environment of its own."""

    @property
    def environment(self) -> Path:
        """The folder of the virtual environment."""

    @property
    def pins(self) -> Path:
        """The file of pinned requirements."""


class InstallError(Exception):
    """A peer that cannot be installed here; the message is the installer's error."""


def install(system: Pinned) -> None:
    """Create the peer's environment, unless it exists with the same pins; raises `InstallError`."""
    wanted = system.pins.read_text(encoding="utf-8")
    stamp = system.environment / "pins.txt"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(system.environment, ignore_errors=True)
    python = str(system.environment / "bin" / "python")
    run(sys.executable, "-m", "venv", str(system.environment))
    pip = [
        python,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--no-deps",
    ]  # all packages are pinned
    run(*pip, "--requirement", str(system.pins))
    stamp.write_text(wanted, encoding="utf-8")


def run(*command: str, folder: Path | None = None) -> None:
    """Run an installer's command; raises `InstallError` with its last messages if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise InstallError(" ".join(lines[-_REASON_LINES:]) or f"{command[0]} failed")
