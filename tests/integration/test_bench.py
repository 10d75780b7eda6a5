"""Tests of `client bench`, against a real server and in local mode."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

import mien
from mien.cli.bench.report import report
from mien.cli.bench.runner import Load, Sample, measure
from mien.errors import OverloadedError
from mien.transport.base import REQUEST_ID, Metadata, Reply
from mien.transport.methods import Method, Request, Response
from mien.v1 import face_pb2
from mien.v1 import face_service_pb2 as pb
from tests.photographs import EXAMPLE


def bench(*words: object) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).parent / "client", "bench", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_closed_loop_measures_a_server(single: str) -> None:
    ended = bench("--server", single, "--concurrency", 4, "--duration", 2, "--warmup", 0.01, "--json", EXAMPLE)
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert (result["mode"], result["concurrency"], result["server"]) == ("closed", 4, single)
    assert result["errors"] == result["task_failures"] == {}
    assert result["calls"] > 0
    assert result["faces_per_second"] == pytest.approx(result["requests_per_second"], rel=1e-3)
    latency = result["latency_ms"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p95"] <= latency["p99"] <= latency["max"]
    assert result["timing"]["mean_ms"] <= latency["mean"]
    assert {"decode", "detect", "crop", "tasks", "merge"} <= {step["name"] for step in result["timing"]["children"]}


def test_an_open_loop_keeps_its_rate_and_is_reproducible(single: str) -> None:
    words = ("--server", single, "--rate", 8, "--duration", 2, "--warmup", 0, "--seed", 7, "--json", EXAMPLE)
    first, second = (json.loads(bench(*words).stdout) for _ in range(2))
    assert first["mode"] == "open"
    assert first["calls"] == second["calls"] == pytest.approx(8 * 2, abs=2 * 4)  # twice the deviation of a Poisson load


def test_local_mode_is_measured_without_a_server() -> None:
    result = bench("--duration", 1, "--warmup", 0, EXAMPLE)
    assert result.returncode == 0, result.stderr
    assert "1 in flight" in result.stdout
    assert "p99" in result.stdout
    assert "requests/s" in result.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--rate", "1", "--concurrency", "1", EXAMPLE], 2, "not both"),
        (["--server", "127.0.0.1:1", EXAMPLE], 3, "no server answers"),
        (["no-such-file.jpg"], 2, "no such file"),
        ([], 2, "Missing argument"),
    ],
)
def test_wrong_usage_is_an_error(words: list[object], code: int, message: str) -> None:
    done = bench(*words)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


def test_failed_calls_are_counted_by_code(single: str, tmp_path: Path) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("not an image")
    done = bench("--server", single, "--duration", 1, "--warmup", 0, "--json", text, EXAMPLE)
    assert done.returncode == 1
    result = json.loads(done.stdout)
    assert result["errors"].keys() == {"INVALID_ARGUMENT"}
    assert result["calls"] > result["errors"]["INVALID_ARGUMENT"] > 0
    assert "INVALID_ARGUMENT" in bench("--server", single, "--duration", 1, "--warmup", 0, text).stdout


class SlowEngine:
    """Answers one call after the other, each in a twentieth of a second."""

    def __init__(self) -> None:
        self.in_flight = self.most = 0
        self._one = asyncio.Lock()

    async def call(
        self, method: Method[Request, Response], request: Request, timeout: float, metadata: Metadata
    ) -> Reply[Response]:
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        async with self._one:
            await asyncio.sleep(0.05)
        self.in_flight -= 1
        return Reply(method.response(), metadata[REQUEST_ID])

    async def close(self) -> None:
        pass


async def test_open_loop_latency_includes_queueing() -> None:
    request = [pb.AnalyzeRequest()]
    closed, opened = SlowEngine(), SlowEngine()
    load = Load(concurrency=2, duration=0.5, warmup=0.2, timeout=9)
    samples = await measure(closed, request, load)
    assert closed.most == 2
    assert samples
    assert all(0.2 <= sample.due < 0.7 for sample in samples)
    over = await measure(opened, request, Load(rate=60, duration=0.5, warmup=0, timeout=9))
    assert opened.most > 4
    assert report(load, over).latency_ms["max"] > 5 * report(load, samples).latency_ms["p50"] / 2


def test_timing_trees_are_averaged_over_all_replies() -> None:
    def reply(detect: float, *, face: bool) -> Sample:
        total = face_pb2.Span(name="total", elapsed_ms=10)
        total.children.add(name="detect", elapsed_ms=detect)
        if face:
            total.children.add(name="tasks", elapsed_ms=4).children.add(name="age", elapsed_ms=3)
        return Sample(0, 0.01, pb.AnalyzeResponse(timing=face_pb2.Timing(total=total)))

    load = Load(concurrency=1, duration=1, warmup=0, timeout=1)
    samples = [reply(2, face=True), reply(4, face=False), Sample(0, 0.02, OverloadedError.code)]
    result = report(load, samples)
    assert result.errors == {"RESOURCE_EXHAUSTED": 1}
    assert result.timing
    detect, tasks = result.timing.children
    assert (result.timing.mean_ms, detect.mean_ms, tasks.mean_ms, tasks.children[0].mean_ms) == (10, 3, 2, 1.5)
    assert result.requests_per_second == pytest.approx(2 / 0.02)


def test_no_successful_call_has_no_percentiles() -> None:
    result = report(Load(rate=1, duration=1, warmup=0, timeout=1), [])
    assert (result.latency_ms, result.timing, result.requests_per_second) == ({}, None, 0)


def test_a_load_is_either_closed_or_open() -> None:
    with pytest.raises(mien.InvalidRequestError, match="not both"):
        Load(duration=1, warmup=0, timeout=1)
