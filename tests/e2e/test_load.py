"""Tests of the cluster under load: many photographs, cancelled calls, concurrent first calls."""

import asyncio
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import numpy as np
import pytest
from PIL import Image

import mien
from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceStub
from tests.photographs import EXAMPLE, distinct, encoded, nearest_is_own, numbers

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

AT_ONCE = 100
"""Calls in flight, of the 128 that an orchestrator takes."""

COUNT = """
import ray, sys
ray.init(address="auto", namespace="serve", logging_level="error", log_to_driver=False)
found = [actor["name"] for actor in ray.util.list_named_actors(all_namespaces=True)]
workers = [name for name in found if name.startswith("SERVE_REPLICA") and "orchestrator" not in name]
actors = [ray.get_actor(name) for name in workers]
for _ in sys.stdin:
    print(sum(ray.get([actor.get_num_ongoing_requests.remote() for actor in actors])), flush=True)
"""
"""Prints, for each input line, the number of calls in progress on all workers."""

CALLER = """
import asyncio, sys, mien
async def main():
    async with mien.AsyncClient(sys.argv[1], timeout=60) as client:
        image = sys.stdin.buffer.read()
        print("calling", flush=True)
        await asyncio.gather(*(client.analyze(image) for _ in range(int(sys.argv[2]))))
asyncio.run(main())
"""
"""Makes so many calls at once."""


async def test_hundreds_of_photographs_get_their_own_responses(cluster: str) -> None:
    images = distinct(300, seed=3)
    room = asyncio.Semaphore(AT_ONCE)
    async with mien.AsyncClient() as embedded, mien.AsyncClient(cluster, timeout=60) as client:

        async def ask(image: bytes) -> pb.AnalyzeResponse:
            async with room:
                return (await client.analyze(image)).message

        alone = np.stack([numbers((await embedded.analyze(image)).message) for image in images])
        together = np.stack([numbers(reply) for reply in await asyncio.gather(*map(ask, images))])
    assert np.abs(together - alone).max() < 1e-3
    for part in (slice(0, 4), slice(4, 8), slice(8, 15)):
        assert nearest_is_own(together[:, part], alone[:, part])


@contextmanager
def counting() -> Iterator["subprocess.Popen[str]"]:
    """Start the process that counts; a driver of this one would outlive the fixture."""
    command = [sys.executable, "-c", COUNT]
    environment = {**os.environ, "RAY_AUTH_MODE": "token"}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as counter:
        count(counter)
        yield counter
        counter.communicate()


def count(counter: "subprocess.Popen[str]") -> int:
    """Return how many calls all workers are at."""
    assert counter.stdin
    assert counter.stdout
    counter.stdin.write("\n")
    counter.stdin.flush()
    return int(counter.stdout.readline())


def metric(port: int, name: str) -> float:
    """Return a metric of the orchestrator, summed over its labels."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30).read().decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.partition("{")[0].split()[0] == name)


def many_faces() -> bytes:
    """Return a photograph of thirty faces: the workers are at it for long."""
    with Image.open(EXAMPLE) as file:
        head = file.convert("RGB").crop((104, 0, 344, 240)).resize((96, 96))
    picture = Image.new("RGB", (6 * 96, 5 * 96))
    for place in range(30):
        picture.paste(head, (place % 6 * 96, place // 6 * 96))
    return encoded(picture, "JPEG")


@pytest.mark.parametrize("how", ["cancel", "kill"])
def test_workers_stop_when_calls_are_cancelled(cluster: str, metrics_port: int, how: str) -> None:
    image = many_faces()
    with mien.Client(cluster, timeout=60) as client:
        faces = len(client.analyze(image).faces)
    assert faces > 20
    before = metric(metrics_port, "mien_batch_size_sum")
    with counting() as counter:
        if how == "cancel":
            with grpc.insecure_channel(cluster) as channel:
                stub = FaceAnalysisServiceStub(channel)
                calls = [stub.Analyze.future(pb.AnalyzeRequest(image=image), timeout=60) for _ in range(AT_ONCE)]
                while not count(counter):
                    assert not all(call.done() for call in calls)
                for call in calls:
                    call.cancel()
        else:
            command = [sys.executable, "-c", CALLER, cluster, str(AT_ONCE)]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as caller:
                assert caller.stdin
                caller.stdin.write(image)
                caller.stdin.close()
                while not count(counter):
                    assert caller.poll() is None
                caller.kill()
        while count(counter) or metric(metrics_port, "mien_in_flight_requests"):
            pass  # the test's own time limit ends a wait in vain
    answered = metric(metrics_port, "mien_batch_size_sum") - before
    assert answered < 2 * AT_ONCE * faces  # all of them would be three tasks' faces
    with mien.Client(cluster, timeout=60) as client:
        assert all(task.ok for task in client.analyze(EXAMPLE).tasks)


def test_two_hundred_concurrent_calls_succeed(cluster: str) -> None:
    """More calls than the orchestrator admits: it returns a retry delay, and the SDK retries."""

    async def main() -> list[mien.Analysis]:
        async with mien.AsyncClient(cluster, timeout=120) as client:
            return await asyncio.gather(*(client.analyze(EXAMPLE) for _ in range(200)))

    analyses = asyncio.run(main())
    assert all(task.ok for analysis in analyses for task in analysis.tasks)
