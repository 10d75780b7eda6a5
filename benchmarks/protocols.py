"""Compare HTTP with gRPC: throughput, latency, and CPU time of the server per request, in one run.

python benchmarks/protocols.py --photographs FOLDER --out benchmarks/results/protocols.json

One single server answers both protocols. At 1 in flight, every photograph is sent over both, one after the other and in
turn first; at 16 in flight, blocks of requests alternate. So background load affects both alike; ratios are of the sums
over all rounds, with the lowest and highest of a round. The clients (grpc.aio, aiohttp) share the machine with the
server, so at 16 in flight the throughput contains their CPU time too.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
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
    blocks: Annotated[int, typer.Option(help="Blocks per protocol and round at 16 in flight.")] = 1,
    rounds: Annotated[int, typer.Option(help="Rounds.")] = 10,
) -> None:
    """Measure both protocols."""
    images = [path.read_bytes() for path in sorted(photographs.rglob("*")) if path.suffix.lower() in _SUFFIXES]
    with _serve() as (pid, grpc_address, http_address):
        measured = asyncio.run(_measure(images, pid, grpc_address, http_address, blocks, rounds))
    loads = {str(load): [each[str(load)] for each in measured] for load in _LOADS}
    document = {
        "command": " ".join(["python", *sys.argv]),
        "weights": weights.defaults("mien"),
        "cores": os.cpu_count(),
        "photographs": len(images),
        "blocks": blocks,
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
    images: Sequence[bytes], pid: int, grpc_address: str, http_address: str, blocks: int, rounds: int
) -> list[dict[str, dict[str, Figures]]]:
    clients: dict[str, SystemClient] = {"grpc": GrpcClient(grpc_address), "http": _MienHttp(http_address)}
    prepared = {name: [client.prepare(image) for image in images] for name, client in clients.items()}
    for name, client in clients.items():  # the first requests are slower
        await _send(client, prepared[name], 4, pid)
    measured = []
    for number in range(rounds):
        sums: dict[str, dict[str, list[Figures]]] = {str(load): {name: [] for name in clients} for load in _LOADS}
        for index in range(len(images)):
            for name in sorted(clients, reverse=bool((number + index) % 2)):
                sums["1"][name].append(await _send(clients[name], prepared[name][index : index + 1], 1, pid))
        for index in range(blocks):
            for name in sorted(clients, reverse=bool((number + index) % 2)):
                sums["16"][name].append(await _send(clients[name], prepared[name], 16, pid))
        measured.append(
            {load: {name: _total(parts) for name, parts in by_name.items()} for load, by_name in sums.items()}
        )
        print(json.dumps(measured[-1]), flush=True)
    for client in clients.values():
        await client.close()
    return measured


async def _send(client: SystemClient, prepared: Sequence[object], in_flight: int, pid: int) -> Figures:
    """Send the requests in a closed loop; a failure ends the benchmark."""
    waiting = iter(prepared)

    async def run() -> None:
        for request in waiting:
            await client.call(request)  # the reply is not parsed: that would cost the machine the client's time

    own, cpu, started = time.process_time(), cpu_seconds(pid), time.perf_counter()
    await asyncio.gather(*(run() for _ in range(in_flight)))
    return {
        "requests": len(prepared),
        "seconds": time.perf_counter() - started,
        "server_cpu_seconds": cpu_seconds(pid) - cpu,
        "client_cpu_seconds": time.process_time() - own,
    }


def _total(parts: Sequence[Figures]) -> Figures:
    return {key: round(sum(part[key] for part in parts), 4) for key in parts[0]}


def _summary(rounds: Sequence[dict[str, Figures]]) -> dict[str, object]:
    """Return the metrics of both protocols over all rounds, and the ratios of HTTP to gRPC."""
    totals = {name: _total([each[name] for each in rounds]) for name in ("grpc", "http")}
    return {name: _rates(total) for name, total in totals.items()} | {
        "http_over_grpc": {
            "requests_per_second": _spread(_ratios(totals, rounds, lambda total: total["requests"] / total["seconds"])),
            "server_cpu_per_request": _spread(
                _ratios(totals, rounds, lambda total: total["server_cpu_seconds"] / total["requests"])
            ),
        }
    }


def _rates(total: Figures) -> Figures:
    return {
        "requests_per_second": round(total["requests"] / total["seconds"], 2),
        "server_cpu_ms_per_request": round(1e3 * total["server_cpu_seconds"] / total["requests"], 2),
        "client_cpu_ms_per_request": round(1e3 * total["client_cpu_seconds"] / total["requests"], 2),
    }


def _ratios(
    totals: dict[str, Figures], rounds: Sequence[dict[str, Figures]], figure: Callable[[Figures], float]
) -> list[float]:
    """Return the ratio over all rounds, then that of each."""
    return [figure(each["http"]) / figure(each["grpc"]) for each in (totals, *rounds)]


def _spread(values: Sequence[float]) -> Figures:
    return {"all": round(values[0], 3), "low": round(min(values[1:]), 3), "high": round(max(values[1:]), 3)}


if __name__ == "__main__":
    typer.run(main)
