"""Tests of how `mien serve` ends: when a process of Ray has died, and on a signal during its start."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.conftest import BIN, children
from tests.servers import READY, free_port
from tests.waits import wait_until

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@contextmanager
def starting(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A cluster that is being started; its standard error goes to `folder / "log"`."""
    command = [BIN / "mien", "serve", "--port", str(free_port())]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            yield server
        finally:
            server.kill()
            server.wait()
            assert server.stdout
            server.stdout.close()


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode().rpartition("/")[2]
    except OSError:
        return ""


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists() and name_of(pid)]


@pytest.mark.parametrize("process", ["gcs_server", "raylet"])
def test_a_dead_process_of_ray_ends_the_command_with_an_error(process: str, tmp_path: Path) -> None:
    with starting(tmp_path) as server:
        assert server.stdout
        assert server.stdout.readline().startswith(READY), (tmp_path / "log").read_text()
        below = children(server.pid)
        (victim,) = (pid for pid in below if name_of(pid) == process)
        os.kill(victim, signal.SIGKILL)
        assert server.wait(60) == 1
        assert f"mien: Ray's process {process} has ended; start the server again" in (tmp_path / "log").read_text()
        wait_until(lambda: not alive(below), 30)


@pytest.mark.parametrize("process", ["gcs_server", "raylet"])
def test_a_signal_during_the_start_ends_the_command_in_order(process: str, tmp_path: Path) -> None:
    with starting(tmp_path) as server:
        wait_until(lambda: any(name_of(pid) == process for pid in children(server.pid)), 60)
        below = children(server.pid)
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0, (tmp_path / "log").read_text()
        assert server.stdout
        assert server.stdout.read() == ""
        assert "Traceback" not in (tmp_path / "log").read_text()
        wait_until(lambda: not alive(below), 30)
