"""Tests that calls survive killed processes of a cluster under load."""

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.clusters.sandbox import run

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(os.geteuid() != 0, reason="private namespaces need root"),
]


def test_killed_processes_cause_no_failed_and_no_wrong_call(tmp_path: Path) -> None:
    figures = run("kills", tmp_path, timeout=1400)
    kills = figures["kills"]
    assert Counter(kill["killed"] for kill in kills) == {"worker": 3, "orchestrator": 3, "raylet": 3}
    assert [kill["wrong"] for kill in kills] == [0] * 9
    assert [kill["failed"] for kill in kills] == [[]] * 9
