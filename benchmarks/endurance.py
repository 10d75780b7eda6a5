"""Endurance: a cluster gets mixed requests for hours, while one of its processes is killed every few minutes.

python benchmarks/endurance.py --out benchmarks/results/endurance.json

Four callers, slow enough to leave the machine idle most of the time: the SDK, HTTP, a video stream, and one that sends
images that are corrupt or hostile. Each reply is compared with the one of the same image before the start. A reply may
lack the predictions of a task after its worker was killed (`--settle-seconds`); it must never be wrong, and no
valid request may fail. The memory of all processes together is compared between the first and the last quarter of the
samples after the warm-up.
"""

import asyncio
import itertools
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import aiohttp
import cv2
import numpy as np
import typer
from numpy.typing import NDArray

import mien
import weights
from endurance_log import CANARY, Log, Reply, compared_memory, is_by_canary
from hostile_images import BOMBS
from measurements import Machine, command
from mien.types.proto_json import as_dict
from processes import memory_mib, replicas
from soak import free_port, photographs, serving

VICTIMS = ("emotion", "orchestrator", "age", "gender")
"""Deployments of which a replica is killed, in turn."""

_SHARE = 0.1
"""Share of the requests whose emotion the canary answers."""

_PORTRAIT = Path(__file__).parent.parent / "examples" / "astronaut.jpg"
_SAMPLE_SECONDS = 30
_FRAMES, _FRAME_SECONDS = 60, 0.2


def main(
    out: Annotated[Path, typer.Option(help="Result file.")],
    minutes: Annotated[float, typer.Option(help="Length of the run.")] = 120,
    warm_up: Annotated[float, typer.Option(help="Minutes before the memory counts.")] = 10,
    kill_every: Annotated[float, typer.Option(help="Minutes between two kills.")] = 10,
    settle_seconds: Annotated[float, typer.Option(help="Time after a kill in which answers may be missing.")] = 60,
    rate: Annotated[float, typer.Option(help="Requests a second of the SDK, and of HTTP.")] = 2,
) -> None:
    """Run the test and write its result; the exit code is 1 if anything unexpected happened."""
    machine = Machine.here()
    port = free_port()
    settings = {
        "http": {"port": port},
        "orchestrator": {"scaling": {"min_replicas": 2, "max_replicas": 2}},
        "tasks": {"emotion": {"canary": {"model": CANARY, "share": _SHARE}}},
    }
    with serving(settings=settings) as (pid, address):
        log = asyncio.run(
            _run(pid, address, f"http://127.0.0.1:{port}", minutes * 60, kill_every * 60, settle_seconds, rate)
        )
    document = {
        "command": command(),
        "weights": weights.defaults("mien"),
        "machine": asdict(machine),
        "minutes": minutes,
        "requests_per_second": rate,
        "outcomes": {caller: dict(counts) for caller, counts in log.outcomes.items()},
        "unexpected": log.unexpected,
        "kills": log.kills,
        "memory": compared_memory(log.memory_mib, warm_up * 60),
    }
    out.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps({key: document[key] for key in ("outcomes", "unexpected")}, indent=1))
    if log.unexpected:
        raise typer.Exit(1)


async def _run(
    pid: int, address: str, url: str, seconds: float, kill_every: float, settle_seconds: float, rate: float
) -> Log:
    images = photographs()
    hostile = [b"", b"no image", images[0][:60], *(make() for make in BOMBS.values())]  # takes half a minute
    async with mien.AsyncClient(address, timeout=60) as client, aiohttp.ClientSession(url) as session:
        expected = [await _by_the_stable_models(client, image) for image in images]
        log = Log(settle_seconds)
        turns = list(zip(images, expected, strict=True))
        sdk, http = itertools.count(), itertools.count(len(images) // 2)
        bad = itertools.cycle(hostile)
        victims = itertools.cycle(VICTIMS)
        callers: list[Awaitable[None]] = [
            _paced(log, seconds, 1 / rate, lambda: _call(log, client, turns, sdk)),
            _paced(log, seconds, 1 / rate, lambda: _post(log, session, turns, http)),
            _paced(log, seconds, 2, lambda: _hostile(log, client, bad)),
            _paced(log, seconds, 1, lambda: _stream(log, client)),
            _paced(log, seconds, kill_every, lambda: _kill(log, pid, victims), first=kill_every),
            _paced(log, seconds, _SAMPLE_SECONDS, lambda: _sample(log, pid), first=_SAMPLE_SECONDS / 2),
        ]
        await asyncio.gather(*callers)
    return log


async def _by_the_stable_models(client: mien.AsyncClient, image: bytes) -> Reply:
    while is_by_canary(reply := as_dict((await client.analyze(image)).message)):
        pass  # the next call has another request id, which decides
    return reply


async def _paced(
    log: Log, seconds: float, every: float, work: Callable[[], Awaitable[None]], first: float = 0.0
) -> None:
    """Begin the work at fixed times, each after the end of the one before."""
    due = first
    while due < seconds:
        await asyncio.sleep(max(0.0, due - log.now))
        await work()
        due = max(due + every, log.now)


async def _call(log: Log, client: mien.AsyncClient, turns: list[tuple[bytes, Reply]], numbers: Iterator[int]) -> None:
    image, expected = turns[next(numbers) % len(turns)]
    try:
        analysis = await client.analyze(image)
    except mien.MienError as error:
        log.problem("sdk", "failed", repr(error))
    else:
        log.judge("sdk", as_dict(analysis.message), expected)


async def _post(
    log: Log, session: aiohttp.ClientSession, turns: list[tuple[bytes, Reply]], numbers: Iterator[int]
) -> None:
    """Send an image over HTTP; once more after 503 or a lost connection, as the documentation advises."""
    image, expected = turns[next(numbers) % len(turns)]
    detail = ""
    for _ in range(2):
        try:
            async with session.post("/v1/analyze", data=image, timeout=aiohttp.ClientTimeout(60)) as response:
                if response.status == 200:
                    log.judge("http", await response.json(), expected)
                    return
                detail = await response.text()
                if response.status != 503:
                    break
        except aiohttp.ClientConnectionError as error:
            detail = repr(error)
    log.problem("http", "failed", detail)


async def _hostile(log: Log, client: mien.AsyncClient, images: Iterator[bytes]) -> None:
    try:
        await client.analyze(next(images))
    except mien.ImageError:
        log.count("hostile", "refused")
    except mien.MienError as error:
        log.problem("hostile", "failed", repr(error))
    else:
        log.problem("hostile", "answered", "a corrupt image")


async def _stream(log: Log, client: mien.AsyncClient) -> None:
    """Send a short film of one face that moves; its track must be the same in all frames."""
    tracks: set[int] = set()
    frames = 0
    try:
        async for result in client.stream(_film(), tasks=["age", "gender", "emotion"]):
            if result.frame_id is None:
                continue
            frames += 1
            tracks |= {face.track_id for face in result.faces}
            if result.restarted:
                log.count("stream", "restarted")
    except mien.MienError as error:
        log.problem("stream", "failed", repr(error))
        return
    if frames == _FRAMES and tracks == {1}:
        log.count("stream", "right")
    else:
        log.problem("stream", "wrong", f"{frames} of {_FRAMES} frames, tracks {sorted(tracks)}")


async def _film() -> AsyncIterator[NDArray[np.uint8]]:
    picture = cv2.cvtColor(cv2.imread(str(_PORTRAIT)), cv2.COLOR_BGR2RGB)[:300, 80:400]
    for number in range(_FRAMES):
        shift = np.array([[1, 0, 15 * np.sin(number / 15)], [0, 1, 8 * np.sin(number / 9)]], np.float64)
        moved = cv2.warpAffine(picture, shift, (320, 240), borderMode=cv2.BORDER_REPLICATE)
        yield np.asarray(moved, np.uint8)
        await asyncio.sleep(_FRAME_SECONDS)


async def _kill(log: Log, pid: int, victims: Iterator[str]) -> None:
    victim = next(victims)
    found = replicas(pid, victim)
    log.last_kill = time.monotonic()
    log.kills.append({"seconds": log.now, "deployment": victim, "replicas": len(found)})
    os.kill(found[0], signal.SIGKILL)


async def _sample(log: Log, pid: int) -> None:
    log.memory_mib.append((log.now, round(await asyncio.to_thread(memory_mib, pid), 1)))


if __name__ == "__main__":
    typer.run(main)
