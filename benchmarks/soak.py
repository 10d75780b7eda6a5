"""Soak test: compare the memory of every process at the start and end of many requests.

python benchmarks/soak.py --out benchmarks/results/soak.json

The single server, then the cluster, gets small photographs of all kinds; one in fifty is corrupt, and one in fifty
calls is cancelled before the response. After the warm-up, each process's memory in the last quarter of the samples is
compared with that in the first. The warm-up is long because Ray's workers release some 20 MiB of their start-up only
after a minute. Deployment modes that are not run keep their previous results in the file.
"""

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import typer
import yaml
from PIL import Image, ImageEnhance

import mien
from measurements import Machine, command
from processes import resident_mib

FLAT = 0.05
"""Largest accepted relative change of a process's memory."""

MODES = {"single": ("--inline",), "cluster": ()}
"""Options of `mien serve`."""

_PORTRAIT = Path(__file__).parent.parent / "examples" / "astronaut.jpg"
_HEAD = (104, 0, 344, 240)
_SIDES = (96, 104, 112, 128, 144, 160, 200)
_FORMATS = ("JPEG", "JPEG", "PNG", "WEBP")
_PHOTOGRAPHS = 98
_LEAVES_AFTER = 0.005
"""Seconds after which a call is cancelled: usually before the response."""


def main(
    out: Annotated[Path, typer.Option(help="Result file.")],
    requests: Annotated[int, typer.Option(help="Requests to each deployment mode, warm-up included.")] = 20_000,
    warm_up: Annotated[int, typer.Option(help="Requests before the first sample.")] = 10_000,
    in_flight: Annotated[int, typer.Option(help="Callers at once.")] = 32,
    samples: Annotated[int, typer.Option(help="Number of memory samples.")] = 200,
    mode: Annotated[list[str] | None, typer.Option(help="Deployment modes to test; default: all.")] = None,
) -> None:
    """Test each deployment mode and write the change of its memory."""
    document = json.loads(out.read_text()) if out.exists() else {}
    for name in mode or MODES:
        with serving(*MODES[name]) as (pid, address):
            document[name] = {
                "command": command(),
                "processor": Machine.here().processor,
                "cores": os.cpu_count(),
                "requests": requests,
                "warm_up": warm_up,
                "in_flight": in_flight,
                **asyncio.run(soak(pid, address, requests, warm_up, in_flight, requests // samples)),
            }
        out.write_text(json.dumps(document, indent=1) + "\n")


@contextmanager
def serving(
    *options: str, port: int | None = None, settings: Mapping[str, object] | None = None
) -> Iterator[tuple[int, str]]:
    """Start a server, wait until it is ready, and stop it; yields its process id and address.

    Args:
        options: Options of `mien serve`.
        port: Port of the server; None for a free one.
        settings: Settings of the server, as in its file.

    """
    port = port or free_port()
    with ExitStack() as stack:
        words = [Path(sys.executable).parent / "mien", "serve", "--port", str(port), *options]
        if settings:
            file = Path(stack.enter_context(TemporaryDirectory())) / "mien.yaml"
            file.write_text(yaml.safe_dump(settings))
            words += ["--config", file]
        server = stack.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
        assert server.stdout
        if not server.stdout.readline().startswith("mien is ready"):
            raise SystemExit("the server did not start")
        try:
            yield server.pid, f"127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(120)


def free_port() -> int:
    """Return a port of the loopback interface that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def soak(pid: int, address: str, requests: int, warm_up: int, in_flight: int, every: int) -> dict[str, object]:
    """Send the requests; return the outcomes by name and each process's memory, sampled every `every` requests."""
    images = [*photographs(), b"no image", b""]
    outcomes: Counter[str] = Counter()
    samples_mib: list[tuple[int, dict[str, float]]] = []
    numbers = iter(range(requests))

    async def ask(client: mien.AsyncClient, number: int) -> str:
        call = asyncio.ensure_future(client.analyze(images[number % len(images)]))
        if number % 50 == 25:
            await asyncio.wait([call], timeout=_LEAVES_AFTER)
            call.cancel()
        try:
            analysis = await call
        except asyncio.CancelledError:
            return "left"
        except mien.MienError as error:
            return error.reason or type(error).__name__
        return "whole" if all(task.ok for task in analysis.tasks) else "partial"

    async def run_calls(client: mien.AsyncClient) -> None:
        for number in numbers:
            outcomes[await ask(client, number)] += 1
            if sum(outcomes.values()) % every == 0:
                samples_mib.append((sum(outcomes.values()), resident_mib(pid)))

    started = time.perf_counter()
    async with mien.AsyncClient(address, timeout=120) as client:
        await asyncio.gather(*(run_calls(client) for _ in range(in_flight)))
    seconds = time.perf_counter() - started
    return {"seconds": round(seconds, 1), "outcomes": dict(outcomes), "processes": growth(samples_mib, warm_up)}


def growth(samples_mib: list[tuple[int, dict[str, float]]], warm_up: int) -> dict[str, dict[str, object]]:
    """Return the change of memory, in MiB, of each process that is in all samples after the warm-up."""
    counted = [memory for answered, memory in samples_mib if answered > warm_up]
    quarter = max(1, len(counted) // 4)
    lived = [name for name in counted[0] if all(name in memory for memory in counted)]
    processes: dict[str, dict[str, object]] = {}
    for name in lived:
        first, last = (mean(memory[name] for memory in part) for part in (counted[:quarter], counted[-quarter:]))
        change = last / first - 1
        series = [round(memory.get(name, 0), 1) for _, memory in samples_mib]
        processes[name] = {
            "first_mib": round(first, 1),
            "last_mib": round(last, 1),
            "change": round(change, 4),
            "flat": abs(change) <= FLAT,
            "samples_mib": series,
        }
    return processes


def photographs() -> list[bytes]:
    """Return image files of one or two faces each, in several sizes and formats."""
    random = np.random.default_rng(0)
    with Image.open(_PORTRAIT) as file:
        head = file.convert("RGB").crop(_HEAD)
    files = []
    for number in range(_PHOTOGRAPHS):
        side, kind = _SIDES[number % len(_SIDES)], _FORMATS[number % len(_FORMATS)]
        people = 2 if number % 8 == 0 else 1
        picture = Image.new("RGB", (side * people, side), "grey")
        for person in range(people):
            one = ImageEnhance.Brightness(head.resize((side, side))).enhance(float(random.uniform(0.7, 1.2)))
            picture.paste(one, (person * side, 0))
        buffer = io.BytesIO()
        picture.save(buffer, kind)
        files.append(buffer.getvalue())
    return files


if __name__ == "__main__":
    typer.run(main)
