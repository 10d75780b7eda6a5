"""Fixtures of all tests."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from mien.v1 import face_service_pb2 as pb
from mien_orchestrator.build import make_executor, make_inline_service
from mien_orchestrator.edge.server import Server
from mien_orchestrator.settings import Settings
from mien_orchestrator.telemetry.metrics import make_metrics
from tests.servers import Running, run_server, running_server

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def interrupts_reach_commands() -> None:
    """A shell's background jobs ignore SIGINT, and so would every command that a test interrupts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared data (photographs, reference weights), which is not part of the repository."""
    folder = (ROOT / os.environ.get("MIEN_SHARED", "../shared")).resolve()
    if not folder.is_dir():
        pytest.skip("no shared data: set MIEN_SHARED to its folder")
    return folder


@pytest.fixture(scope="session", autouse=True)
def model_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty model store instead of the user's, for this process and its subprocesses."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("store")
        patch.setenv("MIEN_MODEL_STORE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def running() -> Running:
    return run_server


@pytest.fixture(scope="session")
def single_server() -> Iterator[Server]:
    """A server in single mode, with HTTP."""
    settings = Settings.load(
        {"server.port": 0, "http.port": 0, "server.drain_s": 1, "limits.max_image_bytes": 4 * 2**20}
    )
    with make_executor(settings) as seeing, make_executor(settings) as computing:
        service = make_inline_service(settings, seeing, computing, pb.DEPLOYMENT_MODE_SINGLE)
        with running_server(service, settings, make_metrics(settings)) as server:
            yield server


@pytest.fixture(scope="session")
def single(single_server: Server) -> str:
    """The address of a server in single mode."""
    return single_server.address
