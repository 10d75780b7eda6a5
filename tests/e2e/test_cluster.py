"""Tests of a real cluster, and that all deployment modes return the same responses."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

import mien
from mien.v1 import face_service_pb2 as pb
from tests.http_client import fetch
from tests.moving_faces import pan
from tests.photographs import EXAMPLE
from tests.waits import wait_until

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def without_timing(analysis: mien.Analysis) -> pb.AnalyzeResponse:
    reply = pb.AnalyzeResponse()
    reply.CopyFrom(analysis.message)
    reply.ClearField("timing")
    return reply


def query_serve(**variables: str) -> subprocess.CompletedProcess[str]:
    """Query Serve itself, in a process of its own, since a driver of this one would outlive the fixture."""
    code = (
        "import ray, json; from ray import serve; ray.init(address='auto', logging_level='error', log_to_driver=False);"
        "apps = serve.status().applications['mien'].deployments;"
        "print(json.dumps({name: d.replica_states.get('RUNNING', 0) for name, d in apps.items()}))"
    )
    environment = {**os.environ, "RAY_AUTH_MODE": "token", **variables}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)


def replicas() -> dict[str, int]:
    result = query_serve()
    assert result.returncode == 0, result.stderr
    counts: dict[str, int] = json.loads(result.stdout.splitlines()[-1])
    return counts


def test_every_deployment_has_its_own_replica_count(cluster: str) -> None:
    assert replicas() == {"orchestrator": 1, "age": 1, "gender": 1, "gender-shadow": 1, "emotion": 2}


@pytest.mark.parametrize("token", [{"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_TOKEN": "0" * 64}], ids=["none", "other"])
def test_rays_ports_need_its_token(cluster: str, token: dict[str, str]) -> None:
    refused = query_serve(**token)
    assert refused.returncode != 0
    assert "Unauthenticated" in refused.stderr


def test_the_example_is_the_same_in_all_deployment_modes(cluster: str, single: str) -> None:
    assert_congruent([EXAMPLE], cluster, single)


@pytest.mark.shared
def test_http_and_grpc_of_the_cluster_have_the_same_reply(cluster: str, http_port: int) -> None:
    with mien.Client(cluster) as client:
        expected = client.analyze(EXAMPLE, timeout=60).to_dict()
    answer = fetch(f"http://127.0.0.1:{http_port}", "/v1/analyze", EXAMPLE.read_bytes())
    assert answer.status == 200
    assert answer.json | {"timing": None} == expected | {"timing": None}
    assert fetch(f"http://127.0.0.1:{http_port}", "/readyz?service=age").status == 200


def test_photographs_are_the_same_in_all_deployment_modes(cluster: str, single: str, shared: Path) -> None:
    paths = sorted(path for folder in ("azure", "public_domain") for path in (shared / "photos" / folder).glob("*.*g"))
    assert len(paths) > 15
    assert_congruent(paths, cluster, single)


def test_a_face_too_blurred_for_a_prediction_is_the_same_in_all_deployment_modes(
    cluster: str, single: str, tmp_path: Path
) -> None:
    path = tmp_path / "blurred.png"
    with Image.open(EXAMPLE) as picture:
        picture.filter(ImageFilter.GaussianBlur(6)).save(path)
    assert_congruent([path], cluster, single)
    with mien.Client(cluster) as client:
        assert [face.abstained_reasons for face in client.analyze(path).faces] == [("face_too_blurred",)]


def assert_congruent(paths: list[Path], cluster: str, single: str) -> None:
    with mien.Client() as embedded, mien.Client(single) as one, mien.Client(cluster) as many:
        for path in paths:
            replies = [without_timing(client.analyze(path)) for client in (embedded, one, many)]
            assert replies[0] == replies[1] == replies[2], path.name
            assert all(task.status.code == 0 for task in replies[0].tasks)


def test_invalid_input_is_the_same_in_all_deployment_modes(cluster: str, single: str) -> None:
    with mien.Client() as embedded, mien.Client(single) as one, mien.Client(cluster) as many:
        for image, tasks in ((b"", None), (b"text", None), (EXAMPLE.read_bytes()[:9000], None), (b"x", ["nose"])):
            errors = set()
            for client in (embedded, one, many):
                with pytest.raises(mien.InvalidRequestError) as caught:
                    client.analyze(image, tasks=tasks)
                errors.add((type(caught.value), caught.value.reason, caught.value.message))
            assert len(errors) == 1


def test_the_cluster_reports_its_mode_and_timing(cluster: str) -> None:
    with mien.Client(cluster) as client:
        assert client.server_info().deployment_mode == "cluster"
        timing = client.analyze(EXAMPLE).timing
    tasks = next(step for step in timing.children if step.name == "tasks")
    for task in tasks.children:
        assert {part.name for part in task.children} >= {"compute", "transport"}
    assert tasks.elapsed_ms < sum(task.elapsed_ms for task in tasks.children) + 1


def test_an_orchestrator_counts_its_model_calls(cluster: str, metrics_port: int) -> None:
    with mien.Client(cluster) as client:
        client.analyze(EXAMPLE)
    text = urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=10).read().decode()
    for task in ("age", "gender", "emotion"):
        (line,) = [line for line in text.splitlines() if line.startswith(f'mien_batch_size_count{{task="{task}"}}')]
        assert float(line.split()[-1]) > 0


def test_concurrent_cluster_calls_get_their_own_responses(cluster: str) -> None:
    pixels = mien.draw(EXAMPLE, mien.Analysis.from_message(pb.AnalyzeResponse()))
    pictures = [np.pad(pixels, ((0, 0), (0, 4 * step), (0, 0)), "edge") for step in range(48)]
    with mien.Client(cluster, timeout=120) as client, ThreadPoolExecutor(16) as pool:
        analyses = list(pool.map(client.analyze, pictures))
    assert [analysis.image.width for analysis in analyses] == [512 + 4 * step for step in range(48)]
    assert all(task.ok for analysis in analyses for task in analysis.tasks)


def test_a_killed_worker_fails_no_call(cluster: str) -> None:
    """Kill one of the two emotion workers under load: its calls are retried, and it is restarted."""
    before = worker_pids("emotion")
    assert len(before) == 2
    with mien.Client(cluster, timeout=60) as client, ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(client.analyze, EXAMPLE) for _ in range(60)]
        os.kill(before[0], 9)
        codes = [task.code for call in calls for task in call.result().tasks]
    assert codes == ["OK"] * len(codes)
    wait_until(lambda: len(set(worker_pids("emotion")) - {before[0]}) == 2, what="the killed worker is replaced")


def test_a_stream_has_the_results_of_local_mode(cluster: str) -> None:
    with mien.Client.local() as local, mien.Client(cluster) as client:
        client.analyze(EXAMPLE)  # a worker's first call is slow, and may be late
        expected, found = (list(either.stream(pan(15))) for either in (local, client))
    assert [(result.frame_id, result.faces, result.events) for result in found] == [
        (result.frame_id, result.faces, result.events) for result in expected
    ]


def test_a_killed_worker_fails_no_frame_of_a_stream(cluster: str) -> None:
    results = []
    with mien.Client(cluster) as client:
        for result in client.stream(pan(100), attribute_intervals_ms={"emotion": 0}):
            results.append(result)
            if result.frame_id == 20:
                os.kill(worker_pids("emotion")[0], 9)
    assert [result.frame_id for result in results] == [*range(100), None]
    assert {face.track_id for result in results for face in result.faces} == {1}
    assert all(task.ok for result in results for task in result.tasks)
    wait_until(lambda: len(worker_pids("emotion")) == 2, what="the killed worker is replaced")


def test_a_stopped_worker_is_hedged_by_another_of_the_same_model_and_replaced(cluster: str) -> None:
    (stopped,) = worker_pids("age")
    with mien.Client(cluster) as client:
        client.analyze(EXAMPLE)
        os.kill(stopped, signal.SIGSTOP)
        deadline = time.monotonic() + 90
        while not set(worker_pids("age")) - {stopped}:
            assert time.monotonic() < deadline, "the stopped worker was not replaced"
            failed = [task for task in client.analyze(EXAMPLE).tasks if not task.ok]
            assert failed == []


def worker_pids(task: str) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:  # ended meanwhile
                continue
            if command.startswith(f"ray::ServeReplica:mien:{task}".encode()):
                found.append(int(folder.name))
    return sorted(found)
