"""Measure what the flood of one caller costs another: latencies of caller B alone and beside caller A's flood.

python benchmarks/fairness.py --photographs ../shared/photos --out benchmarks/results/fairness.json

One server in single mode knows the tokens of A and B. B sends one photograph per second, each in turn. A floods: its
calls arrive at random (a Poisson process) at 10 times its share, and do not wait for answers. The share is half of the
rate that A reaches alone in a closed loop, at the start of each round. Every round measures B alone and beside the
flood, with the same photographs, so that the machine's other load affects both; ratios are taken over the calls of all
rounds. A's process has low priority, since it is to compete with B for the server and not for the machine's CPUs.
"""

import asyncio
import json
import multiprocessing
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import grpc
import numpy as np
import typer

import mien
import weights
from measurements import Machine, command
from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceStub
from mien_orchestrator.edge.auth.tokens import make_token, token_line
from soak import serving

_SUFFIXES = {".jpg", ".jpeg"}

_TIMEOUT = 10.0
"""Timeout of every call, in seconds."""

_SPAWN = multiprocessing.get_context("spawn")


def main(
    out: Annotated[Path, typer.Option(help="Result file.")],
    photographs: Annotated[Path, typer.Option(help="Folder of photographs (JPEG) that both callers send.")],
    seconds: Annotated[float, typer.Option(help="Length of each measurement of B.")] = 60,
    rounds: Annotated[int, typer.Option(help="Rounds.")] = 3,
    times: Annotated[float, typer.Option(help="A's rate as a multiple of its share.")] = 10,
) -> None:
    """Measure B's latencies alone and beside A's flood."""
    machine = Machine.here()
    images = [path.read_bytes() for path in sorted(photographs.rglob("*")) if path.suffix.lower() in _SUFFIXES]
    tokens = {name: make_token() for name in ("a", "b")}
    measured = []
    failures: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tokens"
        file.write_text("\n".join(token_line(name, token) for name, token in tokens.items()))
        config = Path(folder) / "mien.json"
        config.write_text(json.dumps({"auth": {"token_file": str(file)}, "http": {"enabled": False}}))
        with serving("--inline", "--config", str(config)) as (_, address):
            asyncio.run(closed_loop(address, tokens["a"], images, 5))
            for _ in range(rounds):
                capacity = asyncio.run(closed_loop(address, tokens["a"], images, 8))
                rate = times * capacity / 2
                alone = asyncio.run(regular(address, tokens["b"], images, seconds, failures))
                with flood(address, tokens["a"], images, rate) as outcomes:
                    beside = asyncio.run(regular(address, tokens["b"], images, seconds, failures))
                measured.append(
                    {"capacity": round(capacity, 1), "b_alone": alone, "b_beside_flood": beside, "a": outcomes}
                )
                shown = {"capacity": round(capacity, 1), "alone": figures(alone), "beside": figures(beside)}
                print(json.dumps(shown | {"a": outcomes}), flush=True)
    both = {
        name: figures([latency for each in measured for latency in each[name]])
        for name in ("b_alone", "b_beside_flood")
    }
    document = {
        "command": command(),
        "machine": asdict(machine),
        "weights": weights.defaults("mien"),
        "photographs": len(images),
        "failed_calls_of_b": dict(failures),
        "milliseconds": both,
        "ratios": {
            name: round(both["b_beside_flood"][name] / both["b_alone"][name], 2) for name in ("p50", "p90", "p99")
        },
        "rounds": measured,
    }
    out.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps({name: document[name] for name in ("failed_calls_of_b", "milliseconds", "ratios")}, indent=1))


def figures(latencies: list[float]) -> dict[str, float]:
    """Return the percentiles of latencies, in their unit."""
    return {f"p{percent}": round(float(np.percentile(latencies, percent)), 1) for percent in (50, 90, 99)} | {
        "calls": len(latencies)
    }


async def closed_loop(address: str, token: str, images: list[bytes], seconds: float, in_flight: int = 8) -> float:
    """Send calls with `in_flight` at a time; return the answers per second."""
    answers = 0
    ends = time.perf_counter() + seconds

    async def run_calls(client: mien.AsyncClient) -> None:
        nonlocal answers
        while time.perf_counter() < ends:
            await client.analyze(images[answers % len(images)])
            answers += 1

    async with mien.AsyncClient(address, token=token, timeout=_TIMEOUT) as client:
        await asyncio.gather(*(run_calls(client) for _ in range(in_flight)))
    return answers / seconds


async def regular(address: str, token: str, images: list[bytes], seconds: float, failures: Counter[str]) -> list[float]:
    """Send one call per second; return the latencies in milliseconds, and count failed calls."""
    latencies = []

    async def call(client: mien.AsyncClient, image: bytes) -> None:
        started = time.perf_counter()
        try:
            analysis = await client.analyze(image)
        except mien.MienError as error:
            failures[type(error).__name__] += 1
            return
        if all(task.ok for task in analysis.tasks):
            latencies.append(round((time.perf_counter() - started) * 1e3, 2))
        else:
            failures["partial"] += 1

    async with mien.AsyncClient(address, token=token, timeout=_TIMEOUT) as client, asyncio.TaskGroup() as calls:
        began = time.perf_counter()
        for number in range(int(seconds)):
            await asyncio.sleep(max(0.0, began + number - time.perf_counter()))
            calls.create_task(call(client, images[number % len(images)]))
    return latencies


@contextmanager
def flood(address: str, token: str, images: list[bytes], rate: float) -> Iterator[dict[str, float]]:
    """Flood the server from another process; yields the outcomes per second by status, filled at the end."""
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_flood, args=(theirs, address, token, images, rate))
    process.start()
    outcomes: dict[str, float] = {}
    try:
        ours.recv()  # the queue of the server is full
        yield outcomes
        ours.send("stop")
        outcomes.update(ours.recv())
    finally:
        process.join(60)


def _flood(
    pipe: "multiprocessing.connection.Connection", address: str, token: str, images: list[bytes], rate: float
) -> None:
    os.nice(10)
    pipe.send(asyncio.run(_open_loop(pipe, address, token, images, rate)))


async def _open_loop(
    pipe: "multiprocessing.connection.Connection", address: str, token: str, images: list[bytes], rate: float
) -> dict[str, float]:
    generator = random.Random(0)
    codes: Counter[str] = Counter()
    requests = [pb.AnalyzeRequest(image=image) for image in images]
    metadata = (("authorization", f"Bearer {token}"),)
    running: set[asyncio.Task[None]] = set()

    async def call(stub: FaceAnalysisServiceStub) -> None:
        try:
            await stub.Analyze(generator.choice(requests), timeout=_TIMEOUT, metadata=metadata)  # type: ignore[misc]
            codes["OK"] += 1
        except grpc.aio.AioRpcError as error:
            codes[error.code().name] += 1

    async with grpc.aio.insecure_channel(address) as channel:
        stub = FaceAnalysisServiceStub(channel)
        began = due = time.perf_counter()
        ready, sent = False, 0
        while not pipe.poll():
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            task = asyncio.create_task(call(stub))
            running.add(task)
            task.add_done_callback(running.discard)
            due += generator.expovariate(rate)
            sent += 1
            if not ready and codes["RESOURCE_EXHAUSTED"]:
                ready = True
                pipe.send("full")
        seconds = time.perf_counter() - began
        for task in running:
            task.cancel()
    return {code: round(count / seconds, 1) for code, count in [("sent", sent), *codes.items()]}


if __name__ == "__main__":
    typer.run(main)
