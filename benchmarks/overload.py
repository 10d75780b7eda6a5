"""Measure goodput under overload: responses within the deadline per second, at capacity and at multiples of it.

python benchmarks/overload.py --photographs ../shared/photos --detector mien --out benchmarks/results/overload.json

The single server is first driven in a closed loop to estimate its capacity (lower on a busy machine). Then calls arrive
at random (a Poisson process), independent of responses, each with a deadline; a response with all tasks within the
deadline counts. Every round measures each load, so that background load affects all of them, and its ratios are taken
within the round: to its best goodput, the capacity for responses within the deadline.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

import mien
import weights

_SUFFIXES = {".jpg", ".jpeg"}
ADDRESS = "127.0.0.1:50151"


def main(
    photographs: Annotated[Path, typer.Option(help="Folder of photographs.")],
    out: Annotated[Path, typer.Option(help="Result file.")],
    detector: Annotated[str, typer.Option(help="Detector.")] = "yunet",
    loads: Annotated[
        str, typer.Option(help="Loads as multiples of the peak, ascending, comma-separated.")
    ] = "1,2,3,4,8",
    seconds: Annotated[float, typer.Option(help="Length of each open-loop run.")] = 10,
    deadline: Annotated[float, typer.Option(help="Deadline of a call, in seconds.")] = 2,
    rounds: Annotated[int, typer.Option(help="Runs of each load, interleaved.")] = 3,
) -> None:
    """Measure the goodput of the single server under growing load."""
    paths = sorted(path for path in photographs.rglob("*") if path.suffix.lower() in _SUFFIXES)
    images = [path.read_bytes() for path in paths]
    measured = []
    with serve(detector):
        asyncio.run(closed_loop(images, 60, 4))
        for _ in range(rounds):
            peak = asyncio.run(closed_loop(images, 200, 8))
            opened = {
                load: asyncio.run(open_loop(images, float(load) * peak, seconds, deadline)) for load in loads.split(",")
            }
            measured.append({"peak_requests_per_second": round(peak, 2), "open": opened})
            print(json.dumps(measured[-1]))
    best = [max(run["goodput"] for run in each["open"].values()) for each in measured]
    ratios = {
        load: [each["open"][load]["goodput"] / most for each, most in zip(measured, best, strict=True)]
        for load in loads.split(",")
    }
    document = {
        "command": " ".join(["python", *sys.argv]),
        "weights": weights.defaults(detector),
        "cores": os.cpu_count(),
        "deadline_s": deadline,
        "rounds": measured,
        "goodput_over_best_by_load": {
            load: {
                "median": round(median(values), 3),
                "low": round(min(values), 3),
                "high": round(max(values), 3),
            }
            for load, values in ratios.items()
        },
    }
    out.write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps(document, indent=2))


@contextmanager
def serve(detector: str) -> Iterator[None]:
    """Start the single server, wait until it is ready, and stop it."""
    port = ADDRESS.rpartition(":")[2]
    command = [Path(sys.executable).parent / "mien", "serve", "--inline", "--port", port, "--detector", detector]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        if not server.stdout.readline().startswith("mien is ready"):
            raise SystemExit("the server did not start")
        try:
            yield
        finally:
            server.terminate()
            server.wait(60)


async def closed_loop(images: list[bytes], requests: int, in_flight: int) -> float:
    """Send `requests` requests with `in_flight` concurrent calls; return the responses per second."""
    waiting = iter(images[index % len(images)] for index in range(requests))

    async def run_calls(client: mien.AsyncClient) -> None:
        for image in waiting:
            await client.analyze(image)

    async with mien.AsyncClient(ADDRESS, timeout=60) as client:
        started = time.perf_counter()
        await asyncio.gather(*(run_calls(client) for _ in range(in_flight)))
        return requests / (time.perf_counter() - started)


async def open_loop(images: list[bytes], rate: float, seconds: float, deadline: float) -> dict[str, object]:
    """Send `rate` requests per second; return the responses per second within the deadline, and the others by code."""
    generator = random.Random(0)
    codes: Counter[str] = Counter()
    refused_ms: list[float] = []
    in_time = 0

    async def call(client: mien.AsyncClient, image: bytes) -> None:
        nonlocal in_time
        started = time.perf_counter()
        try:
            analysis = await client.analyze(image)
        except mien.MienError as error:
            codes[type(error).__name__] += 1
            if isinstance(error, mien.OverloadedError):
                refused_ms.append((time.perf_counter() - started) * 1e3)
            return
        whole = all(task.ok for task in analysis.tasks) and time.perf_counter() - started <= deadline
        in_time += whole
        codes["in time" if whole else "late or partial"] += 1

    async with mien.AsyncClient(ADDRESS, timeout=deadline) as client, asyncio.TaskGroup() as calls:
        began = due = time.perf_counter()
        while due < began + seconds:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            calls.create_task(call(client, generator.choice(images)))
            due += generator.expovariate(rate)
    return {
        "rate": round(rate, 2),
        "goodput": round(in_time / seconds, 2),
        "outcomes": dict(codes),
        "median_refusal_ms": round(median(refused_ms), 1) if refused_ms else None,
    }


if __name__ == "__main__":
    typer.run(main)
