"""Single and cluster side by side, on the same photographs, in interleaved runs.

python benchmarks/serving.py --photographs ../shared/photos --out benchmarks/results/serving.json
"""

import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from load import Figures, run

_PORTS = {"single": 50151, "cluster": 50152}
_SUFFIXES = {".jpg", ".jpeg", ".png"}
_WARM_UP = 30


def main(
    photographs: Annotated[Path, typer.Option(help="Folder of photographs.")] = Path("examples"),
    detector: Annotated[str, typer.Option(help="Detector of both servers.")] = "haar",
    requests: Annotated[int, typer.Option(help="Requests of one run.")] = 500,
    in_flight: Annotated[str, typer.Option(help="Callers at once, with commas.")] = "1,16",
    rounds: Annotated[int, typer.Option(help="Runs of each server, taken in turn.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Result file.")] = None,
) -> None:
    """Measure throughput, latency, CPU and memory of both shapes."""
    paths = sorted(path for path in photographs.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not paths:
        raise typer.BadParameter(f"{photographs} holds no photographs")
    results: dict[str, list[Figures]] = {}
    with serve("single", detector) as single, serve("cluster", detector) as cluster:
        servers = {"single": single, "cluster": cluster}
        for name, server in servers.items():
            run(f"127.0.0.1:{_PORTS[name]}", server.pid, paths, _WARM_UP, 4)
        for callers in map(int, in_flight.split(",")):
            for _ in range(rounds):
                for name, server in servers.items():
                    figures = run(f"127.0.0.1:{_PORTS[name]}", server.pid, paths, requests, callers)
                    results.setdefault(f"{name}, {callers} in flight", []).append(figures)
    document = {
        "command": " ".join(["python", *sys.argv]),
        "machine": {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine()},
        "detector": detector,
        "photographs": len(paths),
        "results": {name: [figures.to_dict() for figures in runs] for name, runs in results.items()},
    }
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(document, indent=2) + "\n")
    Console(width=140).print(_table(results))


@contextmanager
def serve(shape: str, detector: str) -> Iterator["subprocess.Popen[str]"]:
    """Start a server of one shape, wait until it is ready, and end it."""
    mien = Path(sys.executable).parent / "mien"
    command = [mien, "serve", "--port", str(_PORTS[shape]), "--detector", detector]
    command += ["--inline"] if shape == "single" else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        if not server.stdout.readline().startswith("mien is ready"):
            raise SystemExit(f"the {shape} server did not start")
        try:
            yield server
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)


def _table(results: dict[str, list[Figures]]) -> Table:
    table = Table()
    for heading in (
        "server",
        "errors",
        "requests/s",
        "faces/s",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "CPU ms/request",
        "RSS MiB",
    ):
        table.add_column(heading, justify="left" if heading == "server" else "right")
    for name, runs in results.items():
        columns = (
            [run.requests_per_second for run in runs],
            [run.faces * run.requests_per_second / run.requests for run in runs],
            [run.p50_ms for run in runs],
            [run.p95_ms for run in runs],
            [run.p99_ms for run in runs],
            [run.cpu_ms_per_request for run in runs],
            [run.rss_mib for run in runs],
        )
        errors = sum(sum(run.errors.values()) for run in runs)
        table.add_row(name, str(errors), *(f"{median(values):.1f}" for values in columns))
    return table


if __name__ == "__main__":
    typer.run(main)
