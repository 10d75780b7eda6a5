"""The command `client bench`."""

import asyncio
import json
from typing import Annotated

import typer
from rich.console import Console

from mien.cli import tables
from mien.cli.bench.report import Report, report, table
from mien.cli.bench.runner import Load, measure
from mien.cli.exit_codes import FAILED, leave
from mien.cli.options import ConnectionOptions, with_connection
from mien.cli.sources import find
from mien.errors import MienError
from mien.request import analyze_request, call_metadata
from mien.transport.connection import Connection
from mien.transport.grpc import AsyncRemoteEngine
from mien.transport.local import AsyncLocalEngine
from mien.transport.methods import GET_SERVER_INFO
from mien.v1 import face_service_pb2 as pb


@with_connection
def bench(
    paths: Annotated[list[str], typer.Argument(help="Files, folders or glob patterns, sent in turn.")],
    concurrency: Annotated[int | None, typer.Option(min=1, help="Closed loop: number of calls in flight.")] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Open loop: calls per second, with Poisson arrivals.")
    ] = None,
    duration: Annotated[float, typer.Option(min=0.1, help="Duration of the measurement, in seconds.")] = 10.0,
    warmup: Annotated[float, typer.Option(min=0, help="Duration of the warm-up before it, in seconds.")] = 2.0,
    seed: Annotated[int, typer.Option(help="Seed of the arrivals.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    *,
    connection: ConnectionOptions,
) -> None:
    """Measure latency and throughput; by default with one call in flight."""
    if concurrency is None and rate is None:
        concurrency = 1
    try:
        load = Load(
            concurrency=concurrency, rate=rate, duration=duration, warmup=warmup, timeout=connection.timeout, seed=seed
        )
        images = [source.read() for source in find(paths)]
        requests = [analyze_request(image, tasks=None, max_faces=None, all_or_nothing=False) for image in images]
        target = Connection.find(
            connection.server, connection.tls_options(), connection.token(), connection.connect_timeout
        )
        with Console(stderr=True).status(f"measuring for {warmup + duration:g} s"):
            result = asyncio.run(_measure(target, requests, load))
    except MienError as error:
        raise leave(error) from error
    if as_json:
        where = target.name if target else "this process"
        print(json.dumps({"server": where, "images": len(images)} | result.to_dict()))
    else:
        tables.console().print(table(result))
    if result.errors or result.task_failures:
        raise typer.Exit(FAILED)


async def _measure(connection: Connection | None, requests: list[pb.AnalyzeRequest], load: Load) -> Report:
    engine = AsyncRemoteEngine(connection) if connection else AsyncLocalEngine()
    try:
        await engine.call(
            GET_SERVER_INFO, pb.GetServerInfoRequest(), load.timeout, call_metadata({})
        )  # fails early if no server is reachable
        return report(load, await measure(engine, requests, load))
    finally:
        await engine.close()
