"""Compare HTTP with gRPC: throughput, latency, and CPU time of the server per request, in one run.

python benchmarks/protocols.py --photographs FOLDER --out benchmarks/results/protocols.json

One single server answers both protocols. Every round sends the same photographs in a closed loop over each, in turn
first, at 1 and at 16 in flight; ratios are taken within the round, so that background load affects both. The clients
(grpc.aio, aiohttp) share the machine with the server, so at 16 in flight the throughput contains their CPU time too.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

import weights
from clients import GrpcClient, HttpClient, SystemClient
from processes import cpu_seconds

_SUFFIXES = {".jpg", ".jpeg"}
_READY = "mien is ready at "
_LOADS = (1, 16)

Figures = dict[str, float]


class _MienHttp(HttpClient):
    """Mien over HTTP."""

    path = "/v1/analyze"


def main(
    photographs: Annotated[Path, typer.Option(help="Folder of photographs.")],
    out: Annotated[Path, typer.Option(help="Result file.")],
    requests: Annotated[int, typer.Option(help="Requests per protocol, load and round.")] = 240,
    rounds: Annotated[int, typer.Option(help="Rounds.")] = 10,
) -> None:
    """Measure both protocols."""
    images = [path.read_bytes() for path in sorted(photographs.rglob("*")) if path.suffix.lower() in _SUFFIXES]
    with _serve() as (pid, grpc_address, http_address):
        measured = asyncio.run(_measure(images, pid, grpc_address, http_address, requests, rounds))
    loads = {str(load): [each[str(load)] for each in measured] for load in _LOADS}
    document = {
        "command": " ".join(["python", *sys.argv]),
        "weights": weights.defaults("mien"),
        "cores": os.cpu_count(),
        "photographs": len(images),
        "requests": requests,
        "rounds": rounds,
        "in_flight": {load: _summary(each) for load, each in loads.items()},
        "measured": measured,
    }
    out.write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps(document["in_flight"], indent=2))


@contextmanager
def _serve() -> Iterator[tuple[int, str, str]]:
    """Start the single server; yield its process id and its two addresses."""
    command = [Path(sys.executable).parent / "mien", "serve", "--inline", "--port", "0", "--http-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        lines = [server.stdout.readline().strip() for _ in range(2)]
        if not all(line.startswith(_READY) for line in lines):
            raise SystemExit("the server did not start")
        grpc_address, url = (line.removeprefix(_READY) for line in lines)
        try:
            yield server.pid, grpc_address, url.removeprefix("http://").rstrip("/")
        finally:
            server.terminate()
            server.wait(60)


async def _measure(
    images: Sequence[bytes], pid: int, grpc_address: str, http_address: str, requests: int, rounds: int
) -> list[dict[str, dict[str, Figures]]]:
    clients: dict[str, SystemClient] = {"grpc": GrpcClient(grpc_address), "http": _MienHttp(http_address)}
    order = [index % len(images) for index in range(requests)]
    for client in clients.values():  # the first requests are slower
        await _loop(client, [client.prepare(images[index]) for index in order[: len(images)]], 4)
    measured = []
    for number in range(rounds):
        figures: dict[str, dict[str, Figures]] = {}
        for load in _LOADS:
            figures[str(load)] = {}
            for name in sorted(clients, reverse=bool(number % 2)):
                prepared = [clients[name].prepare(images[index]) for index in order]
                before = cpu_seconds(pid)
                found = await _loop(clients[name], prepared, load)
                cpu_ms = 1e3 * (cpu_seconds(pid) - before) / requests
                figures[str(load)][name] = {key: round(value, 3) for key, value in found.items()} | {
                    "server_cpu_ms_per_request": round(cpu_ms, 3)
                }
        print(json.dumps(figures))
        measured.append(figures)
    for client in clients.values():
        await client.close()
    return measured


async def _loop(client: SystemClient, prepared: Sequence[object], in_flight: int) -> Figures:
    """Send the requests in a closed loop; a failure ends the benchmark."""
    waiting = iter(prepared)
    seconds: list[float] = []

    async def run() -> None:
        for request in waiting:
            began = time.perf_counter()
            answer = await client.call(request)
            seconds.append(time.perf_counter() - began)
            del answer  # parsing it would cost the machine what only the client needs

    own, started = time.process_time(), time.perf_counter()
    await asyncio.gather(*(run() for _ in range(in_flight)))
    return {
        "requests_per_second": len(prepared) / (time.perf_counter() - started),
        "p50_ms": 1e3 * median(seconds),
        "client_cpu_ms_per_request": 1e3 * (time.process_time() - own) / len(prepared),
    }


def _summary(rounds: Sequence[dict[str, Figures]]) -> dict[str, object]:
    """Return the medians of both protocols, and the ratios of HTTP to gRPC within the rounds."""
    medians = {
        name: {key: round(median(each[name][key] for each in rounds), 2) for key in rounds[0][name]}
        for name in ("grpc", "http")
    }
    return medians | {
        "http_over_grpc": {
            key: _spread([each["http"][key] / each["grpc"][key] for each in rounds])
            for key in ("requests_per_second", "server_cpu_ms_per_request", "p50_ms")
        }
    }


def _spread(values: Sequence[float]) -> Figures:
    return {"median": round(median(values), 3), "low": round(min(values), 3), "high": round(max(values), 3)}


if __name__ == "__main__":
    typer.run(main)
