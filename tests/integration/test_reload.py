"""Tests that SIGHUP reloads settings, models and tokens of a single server without losing a call."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

import mien
from mien.v1 import face_service_pb2 as pb
from mien_orchestrator.build import make_executor, make_inline_service
from mien_orchestrator.edge.auth.tokens import token_line
from mien_orchestrator.edge.server import Server
from mien_orchestrator.settings import Settings
from tests.callers import Caller
from tests.photographs import EXAMPLE
from tests.servers import serve_command
from tests.waits import wait_until

TELEMETRY = {"log_level": "info"}


class Served:
    """A server as a process, and its settings file."""

    def __init__(self, process: "subprocess.Popen[str]", address: str, config: Path, log: Path) -> None:
        self.process, self.address, self._config, self._log = process, address, config, log

    def reload(self, settings: dict[str, object] | str, line: str) -> None:
        """Change the settings file, send SIGHUP and wait for a line in the log."""
        before = self.log.count(line)
        self._config.write_text(settings if isinstance(settings, str) else yaml.safe_dump(settings))
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.log.count(line) > before)

    @property
    def log(self) -> str:
        return self._log.read_text()


@contextmanager
def serving(folder: Path, settings: dict[str, object]) -> Iterator[Served]:
    config, log = folder / "mien.yaml", folder / "log"
    config.write_text(yaml.safe_dump(settings))
    with serve_command(log, "--config", config) as (address, process):
        yield Served(process, address, config, log)


def test_models_and_limits_change_without_a_lost_call(tmp_path: Path) -> None:
    with serving(tmp_path, {"telemetry": TELEMETRY}) as server:
        callers = [Caller(server.address) for _ in range(3)]
        for caller in callers:
            caller.start()
        try:
            wait_until(lambda: all(caller.models for caller in callers))
            changed = {"tasks": {"emotion": {"model": "mini-xception-emotion"}}, "limits": {"max_faces": 7}}
            server.reload({**changed, "telemetry": TELEMETRY}, "reloaded: ")
            seen = [len(caller.models) for caller in callers]
            wait_until(lambda: all(len(c.models) > n + 1 for c, n in zip(callers, seen, strict=True)))
        finally:
            for caller in callers:
                caller.stop()
        assert [error for caller in callers for error in caller.errors] == []
        for caller in callers:
            assert caller.models[0] == "mien-emotion"
            assert caller.models[-1] == "mini-xception-emotion"
        with mien.Client(server.address) as client:
            info = client.server_info()
        assert (info.max_faces, info.models["emotion"].name) == (7, "mini-xception-emotion")
        assert "limits.max_faces, tasks.emotion.model" in server.log


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("limits: {max_face: 7}", "did you mean limits.max_faces?"),
        ("tasks: {age: {model: nose-net}}", "unknown model 'nose-net'"),
        ("detector: {name: yunet}", "mien models fetch yunet"),
        ("auth: {token_file: /nowhere/tokens}", "token file /nowhere/tokens"),
    ],
)
def test_an_invalid_change_keeps_the_former_settings(tmp_path: Path, settings: str, message: str) -> None:
    with serving(tmp_path, {"limits": {"max_faces": 5}}) as server:
        server.reload(settings, "keeping the previous settings and models")
        assert message in server.log
        assert "Traceback" not in server.log
        with mien.Client(server.address) as client:
            assert client.server_info().max_faces == 5
            assert len(client.analyze(EXAMPLE).faces) == 1


def test_tokens_and_tasks_are_switched_on_and_off(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(token_line("phone", "secret") + "\n")
    with serving(tmp_path, {"telemetry": TELEMETRY}) as server, mien.Client(server.address) as anonymous:
        assert anonymous.server_info().tasks == ("age", "gender", "emotion")
        changed: dict[str, object] = {"telemetry": TELEMETRY, "auth": {"token_file": str(tokens)}}
        server.reload({**changed, "tasks": {"age": {"enabled": False}}}, "reloaded: ")
        with pytest.raises(mien.AuthenticationError):
            anonymous.server_info()
        with mien.Client(server.address, token="secret") as known:
            assert known.server_info().tasks == ("gender", "emotion")
        health = [Path(sys.executable).parent / "mien", "health", "--server", server.address, "--service"]
        assert subprocess.run([*health, "age"], capture_output=True).returncode == 1
        assert subprocess.run([*health, "gender"], capture_output=True).returncode == 0
        server.reload({"telemetry": TELEMETRY}, "reloaded: ")
        assert anonymous.server_info().tasks == ("age", "gender", "emotion")
        assert subprocess.run([*health, "age"], capture_output=True).returncode == 0


def test_settings_that_need_a_restart_are_reported(tmp_path: Path) -> None:
    with serving(tmp_path, {}) as server:
        server.reload(
            {"limits": {"cpu_threads": 1, "max_faces": 9}, "server": {"reflection": False}}, "requires a restart"
        )
        assert "server.reflection, limits.cpu_threads: requires a restart" in server.log
        with mien.Client(server.address) as client:
            assert client.server_info().max_faces == 9


async def test_a_stream_from_before_a_reload_ends_with_the_server() -> None:
    settings = Settings.load({"server.port": 0, "server.drain_s": 60})

    async def frames() -> AsyncIterator[bytes]:
        yield EXAMPLE.read_bytes()
        await asyncio.Event().wait()

    with make_executor(settings) as seeing, make_executor(settings) as computing:
        first, second = (make_inline_service(settings, seeing, computing, pb.DEPLOYMENT_MODE_SINGLE) for _ in range(2))
        server = Server(first, settings)
        await server.start()
        async with mien.AsyncClient(server.address, timeout=1) as client:
            results = client.stream(frames())
            assert (await anext(results)).faces
            server.replace(second, settings)
            async with asyncio.timeout(30):
                await server.stop()
            with pytest.raises(mien.ServerUnavailableError):
                await anext(results)
