"""Tests on real Ray clusters of several nodes: scaling, node loss, a model update under load."""

import os
from pathlib import Path

import pytest

from tests.clusters.sandbox import run

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(1900),
    pytest.mark.skipif(os.geteuid() != 0, reason="private namespaces need root"),
]


def test_tasks_and_orchestrators_scale_independently(tmp_path: Path) -> None:
    figures = run("autoscaling", tmp_path, timeout=1800)
    samples = figures["samples"]
    assert figures["failures"] == []
    assert samples[0]["emotion"] == samples[0]["emotion nodes"] == 0
    for name in ("emotion", "emotion nodes", "orchestrator", "frontend nodes"):
        assert max(sample[name] for sample in samples) == 2, name
    for name in ("age", "gender", "cpu nodes"):
        assert {sample[name] for sample in samples} == {1}, name
    busy = {what: at for at, what in figures["marks"]}
    alone = [sample for sample in samples if sample["at"] < busy["many callers"]]
    assert {sample["orchestrator"] for sample in alone} == {1}
    assert samples[-1]["emotion"] == samples[-1]["emotion nodes"] == 0


def test_no_call_fails_when_nodes_are_lost(tmp_path: Path) -> None:
    figures = run("node_loss", tmp_path, timeout=1800)
    assert figures["spread"] == dict.fromkeys(["orchestrator", "age", "gender", "emotion"], 2)
    assert figures["failures"] == []
    assert figures["complete_again_s"].keys() == {"cpu", "frontend"}


def test_a_model_update_under_load_replaces_no_replica(tmp_path: Path) -> None:
    figures = run("update", tmp_path, timeout=1800)
    assert figures["failures"] == []
    assert figures["before_change"] == ["1.0.0"]
    assert figures["after_wrong_model"] == ["1.0.1"]
    assert figures["replicas_after"] == figures["replicas_before"]
