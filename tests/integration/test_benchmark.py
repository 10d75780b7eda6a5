"""Tests of the serving benchmark, run like `make bench`, with systems that need no installation."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_quick_run_measures_and_reports(tmp_path: Path) -> None:
    names = ["baseline", "embedded", "single"]
    command = [sys.executable, "benchmarks/serving.py", "--quick", "--systems", ",".join(names), "--out", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "systems.json").read_text())
    assert {item["system"] for item in results["rounds"]} == set(names)
    assert results["left_out"] == {}
    assert {picture["faces"] for picture in results["photographs"]} == {1, 2}
    for item in results["rounds"]:
        session = item["session"]
        assert session["first_answer_s"] > 0
        assert session["memory_mib"] > 50
        for run in (*session["runs"], *session["growth"]):
            assert run["errors"] == {}
            assert run["cpu_ms_per_request"] > 0
            assert 0 < run["p50_ms"] <= run["p95_ms"] <= run["p99_ms"]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["quick"] is True
    assert summary["single_over_baseline"]["low"] > 0
    assert "| Mien, single |" in (tmp_path / "benchmarks.md").read_text()
    assert (tmp_path / "benchmarks.svg").read_text().startswith("<svg")


def test_an_unknown_system_is_refused() -> None:
    command = [sys.executable, "benchmarks/serving.py", "--systems", "nose"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "unknown system nose" in done.stderr
