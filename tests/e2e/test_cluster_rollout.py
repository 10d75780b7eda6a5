"""Tests of a shadow and of named models in a cluster, and that `mien rollout` changes a running one."""

import subprocess
from pathlib import Path

import pytest

import mien
from tests.callers import Caller
from tests.e2e.conftest import BIN
from tests.photographs import EXAMPLE
from tests.waits import wait_until

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SHADOW = "ssrnet-gender"


def test_a_request_names_a_deployed_model(cluster: str) -> None:
    with mien.Client(cluster, timeout=60) as client:
        named = client.analyze(EXAMPLE, models={"gender": SHADOW})
        assert {task.task: task.model.name for task in named.tasks if task.model}["gender"] == SHADOW
        with pytest.raises(mien.NotFoundError, match=f"deployed: mien-age-gender, {SHADOW}"):
            client.analyze(EXAMPLE, models={"gender": "mini-xception-gender"})


def test_a_shadow_is_compared_and_removed_without_a_lost_call(cluster: str, cluster_config: Path) -> None:
    caller = Caller(cluster)
    caller.start()
    try:
        with mien.Client(cluster, timeout=60) as client:

            def compared() -> bool:
                comparison = client.server_info().rollouts["gender"].comparison
                return comparison is not None and comparison.faces > 0

            wait_until(compared, what="the shadow is compared")
            ended = subprocess.run(
                [BIN / "mien", "rollout", "abort", "gender", "--shadow", "--config", cluster_config],
                capture_output=True,
                text=True,
                timeout=180,
            )
            assert ended.returncode == 0, ended.stderr
            assert "has reloaded its settings" in ended.stdout
            assert client.server_info().rollouts == {}
            seen = len(caller.models)
            wait_until(lambda: len(caller.models) > seen + 5)
    finally:
        caller.stop()
    assert caller.errors == []
