"""One real Ray cluster for the whole session, started by `mien serve`."""

import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from tests.servers import READY, free_port

BIN = Path(sys.executable).parent

SCALING = {"min_replicas": 1, "max_replicas": 2, "upscale_delay_s": 600}


@pytest.fixture(scope="session")
def metrics_port() -> int:
    """The port of the cluster's metrics."""
    return free_port()


@pytest.fixture(scope="session")
def http_port() -> int:
    """The port of the cluster's HTTP."""
    return free_port()


@pytest.fixture(scope="session")
def cluster_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of the cluster's settings file."""
    return tmp_path_factory.mktemp("cluster") / "mien.yaml"


@pytest.fixture(scope="session")
def cluster(cluster_config: Path, metrics_port: int, http_port: int) -> Iterator[str]:
    """The address of a cluster: one orchestrator, two emotion workers, one worker per other task and for a shadow."""
    config, folder = cluster_config, cluster_config.parent
    tasks = {
        "emotion": {"scaling": {"min_replicas": 2, "max_replicas": 2}},
        "age": {"scaling": SCALING},
        "gender": {"shadow": {"model": "ssrnet-gender", "share": 0.2}},
    }
    settings = {
        "server": {"port": free_port(), "drain_s": 2, "pid_file": str(folder / "pid")},
        "models": {"selectable": True},
        "http": {"port": http_port},
        "telemetry": {"metrics_port": metrics_port},
        "tasks": tasks,
    }
    config.write_text(yaml.safe_dump(settings))
    log = folder / "serve.log"
    with log.open("w") as errors, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))  # tests that ask Ray itself need it
        command = [BIN / "mien", "serve", "--config", config]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert server.stdout
        line = server.stdout.readline()
        assert line.startswith(READY), log.read_text()
        yield line.removeprefix(READY).strip()
        left = children(server.pid)
        server.send_signal(signal.SIGTERM)
        assert server.wait(90) == 0, log.read_text()
        server.stdout.close()
    assert [pid for pid in left if Path(f"/proc/{pid}").exists()] == []


def children(pid: int) -> list[int]:
    """Return the descendants of a process."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir() if Path(f"/proc/{pid}").exists() else ():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *children(child)]
    return found
