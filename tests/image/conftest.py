"""The real image, built once with podman, and containers that run as on Kubernetes."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mien_orchestrator.edge.health_probe import check
from tests.servers import free_port

ROOT = Path(__file__).parents[2]
PIP_CONFIG = Path("/etc/pip.conf")

LIMITS = ["--ulimit", "nofile=16384:16384", "--ulimit", "nproc=16384:16384"]
RESTRICTED = ["--read-only", "--tmpfs", "/tmp:size=4g", "--cap-drop", "all", "--security-opt", "no-new-privileges"]


@dataclass(frozen=True, slots=True)
class Container:
    """A container that serves."""

    name: str
    address: str
    seconds: float
    """Seconds from start to SERVING."""

    def run(self, *command: str) -> str:
        """Run a command in the container and return its output."""
        result = subprocess.run(["podman", "exec", self.name, *command], capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()


Serving = Callable[..., AbstractContextManager[Container]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--base", help="base image, in place of the Dockerfile's own")


@pytest.fixture(scope="session")
def image(request: pytest.FixtureRequest) -> str:
    """The name of the image, built from this working tree."""
    if not shutil.which("podman"):
        pytest.fail("the image is built by podman: install Debian's podman, runc and iptables")
    base = request.config.getoption("--base")
    command = ["podman", "--runtime", "runc", "build", *LIMITS, "--format", "docker"]
    command += ["--file", "deploy/Dockerfile", "--tag", "mien:test"]
    command += ["--build-arg", f"BASE={base}"] if base else []
    command += ["--secret", f"id=pip,src={PIP_CONFIG}"] if PIP_CONFIG.is_file() else []
    subprocess.run([*command, "."], cwd=ROOT, check=True, timeout=1800)
    return "localhost/mien:test"


@pytest.fixture(scope="session")
def serving(image: str) -> Serving:
    return lambda *command: run(image, *command)


@contextmanager
def run(image: str, *command: str, patience: float = 400) -> Iterator[Container]:
    """Run a container on this machine's loopback until it serves."""
    port = free_port()
    name = f"mien-test-{port}"
    podman = ["podman", "--runtime", "runc", "run", "--detach", "--name", name, *LIMITS, *RESTRICTED]
    started = time.monotonic()
    subprocess.run(
        [*podman, "--publish", f"127.0.0.1:{port}:50051", image, *command], check=True, stdout=subprocess.DEVNULL
    )
    try:
        check(f"127.0.0.1:{port}", timeout=patience)
        yield Container(name, f"127.0.0.1:{port}", time.monotonic() - started)
    finally:
        subprocess.run(["podman", "logs", "--tail", "20", name], check=True)
        subprocess.run(["podman", "rm", "--force", "--time", "20", name], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def layers(image: str) -> list[tuple[float, str]]:
    """The layers' sizes in MB and the commands that created them."""
    message = subprocess.check_output(["podman", "history", "--format", "json", image], text=True)
    return [(layer["size"] / 1e6, layer["CreatedBy"]) for layer in json.loads(message) if layer["size"]]
