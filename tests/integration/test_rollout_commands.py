"""Tests of `mien rollout` with a server that answers calls meanwhile."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import mien
from mien_orchestrator.commands.main import app
from tests.callers import Caller
from tests.servers import free_port, serve_command
from tests.waits import wait_until

STABLE, CANARY = "mien-emotion", "mini-xception-emotion"


def rollout(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run `mien rollout`."""
    command = [Path(sys.executable).parent / "mien", "rollout", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=150)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A settings file with a canary and a shadow of emotion."""
    path = tmp_path / "mien.yaml"
    settings = {
        "server": {"port": free_port(), "pid_file": str(tmp_path / "pid")},
        "tasks": {
            "emotion": {
                "canary": {"model": CANARY, "share": 0.5},
                "shadow": {"model": "mien-emotion-fer2013", "share": 1},
            },
            "age": {"canary": {"model": "ssrnet-age"}},
        },
    }
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture
def address(config: Path, tmp_path: Path) -> Iterator[str]:
    port = str(yaml.safe_load(config.read_text())["server"]["port"])
    with serve_command(tmp_path / "log", "--config", config, "--port", port) as (found, _):
        yield found
    assert not (tmp_path / "pid").exists()


def test_a_canary_is_promoted_and_another_removed_without_a_lost_call(config: Path, address: str) -> None:
    callers = [Caller(address) for _ in range(3)]
    for caller in callers:
        caller.start()
    try:
        wait_until(lambda: {STABLE, CANARY} <= {model for caller in callers for model in caller.models})
        shown = rollout("status", "--config", config)
        assert shown.returncode == 0, shown.stderr
        assert CANARY in shown.stdout
        assert "other labels" in shown.stdout
        state = json.loads(rollout("status", "--server", address, "--json").stdout)
        assert state["emotion"]["canary"]["share"] == 0.5
        assert state["emotion"]["comparison"]["faces"] > 0
        assert state["age"]["canary"]["model"]["name"] == "ssrnet-age"
        promoted = rollout("promote", "emotion", "--config", config)
        assert promoted.returncode == 0, promoted.stderr
        assert "has reloaded its settings" in promoted.stdout
        aborted = rollout("abort", "age", "--config", config)
        assert aborted.returncode == 0, aborted.stderr
        seen = [len(caller.models) for caller in callers]
        wait_until(lambda: all(len(c.models) > n + 2 for c, n in zip(callers, seen, strict=True)))
    finally:
        for caller in callers:
            caller.stop()
    assert [error for caller in callers for error in caller.errors] == []
    for caller, before in zip(callers, seen, strict=True):
        assert set(caller.models[before + 1 :]) == {CANARY}
    with mien.Client(address) as client:
        info = client.server_info()
    assert {task: model.name for task, model in info.models.items()} == {
        "age": "mien-age-gender",
        "gender": "mien-age-gender",
        "emotion": CANARY,
    }
    assert info.rollouts.keys() == {"emotion"}  # its shadow stays
    again = rollout("promote", "emotion", "--config", config)
    assert again.returncode == 2
    assert "task emotion has no canary" in again.stderr


def test_without_a_running_server_only_the_file_changes(config: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["rollout", *arguments])
        return result.exit_code, result.output

    code, output = run("abort", "emotion", "--config", str(config), "--shadow")
    assert code == 0, output
    assert "no server runs with server.pid_file" in output
    assert "shadow" not in config.read_text()
    assert run("status", "--config", str(config))[0] == 1
    assert run("promote", "nose", "--config", str(config))[0] == 2
    code, output = run("promote", "emotion")
    assert code == 2
    assert "pass --config FILE, or set MIEN_CONFIG" in output


def test_two_servers_with_one_pid_file_are_an_error(config: Path, address: str) -> None:
    command = [Path(sys.executable).parent / "mien", "serve", "--inline", "--port", "0", "--config", config]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert second.returncode == 2
    assert "another server with this file is running" in second.stderr
    pid = int((config.parent / "pid").read_text())
    assert Path(f"/proc/{pid}").exists()
