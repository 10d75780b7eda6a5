"""The command `mien rollout`: show canaries and shadows of a server, promote and remove them."""

import dataclasses
import json
import os
import signal
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from mien.cli.tables import console
from mien.client import Client
from mien.errors import MienError, ServerUnavailableError, SettingsError
from mien.transport.tls import Tls
from mien.types.rollout import ModelTraffic, Rollout, ShadowComparison
from mien.types.server_info import ServerInfo
from mien_models.registry import TASKS
from mien_models.spec import Task
from mien_orchestrator.build import make_registry
from mien_orchestrator.commands.config import check_files
from mien_orchestrator.commands.exit_codes import reported_errors
from mien_orchestrator.edge import health_probe
from mien_orchestrator.pid_file import running
from mien_orchestrator.settings import RolloutRole, Settings, rollout_file
from mien_orchestrator.settings.sources import config_path

app = typer.Typer(no_args_is_help=True, help="Show, promote and remove canaries and shadows.")

_RELOAD_SECONDS = 120.0
_POLL_SECONDS = 0.1

_AGREEING = 8
"""Replies in a row that must have the new settings: each is over a new connection, to any orchestrator of a cluster."""

Config = Annotated[
    Path | None,
    typer.Option(help="The server's settings file or Ray Serve config (YAML).", show_default="MIEN_CONFIG"),
]
TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help=f"One of {', '.join(TASKS)}.")]


@app.command()
def status(
    server: Annotated[
        str | None, typer.Option(help="host:port of the server.", show_default="the server of the settings")
    ] = None,
    config: Config = None,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds to wait for a response.")] = 10,
    tls: Annotated[bool, typer.Option("--tls", help="Use TLS for --server; implied by --ca.")] = False,
    ca: Annotated[Path | None, typer.Option(help="PEM file of the authority of --server.")] = None,
    cert: Annotated[Path | None, typer.Option(help="PEM file of a client certificate, for mutual TLS.")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file of the client certificate's private key.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show the stable model, canary and shadow of each task of a running server.

    The counts are those of the process that replies, since it loaded its settings; a cluster has several orchestrators.
    A token comes from MIEN_TOKEN.
    """
    with reported_errors():
        if server:
            chosen = Tls(ca=ca, certificate=cert, key=key) if tls or ca or cert else None
            address = server
        else:
            client = Tls(certificate=cert, key=key) if cert or key else None
            address, chosen = health_probe.own_address(Settings.load(config=config), timeout, client)
        with Client(address, tls=chosen, timeout=timeout, connect_timeout=0) as connected:
            info = connected.server_info()
    if as_json:
        print(json.dumps({task: dataclasses.asdict(rollout) for task, rollout in info.rollouts.items()}))
    else:
        console().print(_table(info))


@app.command()
def promote(task: TaskArgument, config: Config = None) -> None:
    """Make a task's canary its stable model: change the settings file, and let the running server reload it.

    The server is that of server.pid_file; without one, nothing runs yet, or it is to be deployed (kubectl apply -k).
    """
    with reported_errors():
        path, name = config_path(config), _task(task)
        model = rollout_file.promote(path, name, _check)
        typer.echo(f"{path}: {model} is the stable model of {name}, without a canary")
        _reload(path)


@app.command()
def abort(
    task: TaskArgument,
    config: Config = None,
    shadow: Annotated[bool, typer.Option("--shadow", help="Remove the shadow instead of the canary.")] = False,
) -> None:
    """Remove a task's canary (or shadow): change the settings file, and let the running server reload it."""
    role: RolloutRole = "shadow" if shadow else "canary"
    with reported_errors():
        path, name = config_path(config), _task(task)
        model = rollout_file.abort(path, name, role, _check)
        typer.echo(f"{path}: {model} is no {role} of {name} any more")
        _reload(path)


def _task(name: str) -> Task:
    if name not in TASKS:
        raise SettingsError(f"unknown task {name!r}; choose one of {', '.join(TASKS)}")
    return name


def _check(settings: Settings) -> None:
    """Check the files of changed settings if a server runs with them here; another machine may have others."""
    if _process(settings):
        check_files(settings)


def _process(settings: Settings) -> int | None:
    """Return the id of the server's process, or None if none runs with `server.pid_file`."""
    return running(settings.server.pid_file) if settings.server.pid_file else None


def _reload(path: Path) -> None:
    """Let the server of the settings reload them, and wait until it has."""
    settings = Settings.load(config=path)
    process = _process(settings)
    if process is None:
        typer.echo("no server runs with server.pid_file: reload the server (SIGHUP), or apply the file")
        return
    os.kill(process, signal.SIGHUP)
    wanted = {task: _models(settings, task) for task in settings.served}
    deadline = time.monotonic() + _RELOAD_SECONDS
    agreeing = 0
    while agreeing < _AGREEING:
        agreeing = agreeing + 1 if _deployed(settings) == wanted else 0
        if time.monotonic() > deadline:
            raise ServerUnavailableError(
                f"the server (process {process}) does not have the settings of {path} after {_RELOAD_SECONDS:.0f} s; "
                "its log has the reason"
            )
        time.sleep(_POLL_SECONDS)
    typer.echo(f"the server (process {process}) has reloaded its settings")


def _models(settings: Settings, task: Task) -> tuple[str, str | None, str | None]:
    """Return the names of a task's stable model, canary and shadow by the settings."""
    stable = make_registry(settings).for_task(task, settings.tasks[task].model).spec.name
    return stable, settings.rollout("canary").get(task), settings.rollout("shadow").get(task)


def _deployed(settings: Settings) -> dict[str, tuple[str, str | None, str | None]] | None:
    """Return the same of the running server; None if it cannot be called now."""
    try:
        address, tls = health_probe.own_address(settings, timeout=5)
        with Client(address, tls=tls, timeout=5) as client:
            info = client.server_info()
    except MienError:
        return None
    found = {}
    for task in info.tasks:
        rollout = info.rollouts.get(task)
        canary, shadow = (rollout.canary, rollout.shadow) if rollout else (None, None)
        names = [traffic.model.name if traffic else None for traffic in (canary, shadow)]
        found[task] = (info.models[task].name, names[0], names[1])
    return found


def _table(info: ServerInfo) -> Table:
    table = Table()
    for heading in ("task", "role", "model", "share", "requests", "errors", "mean", "compared with the stable model"):
        table.add_column(heading, justify="right" if heading in ("share", "requests", "errors", "mean") else "left")
    for task, model in info.models.items():
        rollout = info.rollouts.get(task)
        if rollout is None:
            table.add_row(task, "stable", f"{model.name} {model.version}", "1", *["-"] * 4)
        else:
            _add_rollout(table, task, rollout)
    return table


def _add_rollout(table: Table, task: str, rollout: Rollout) -> None:
    table.add_row(task, "stable", *_cells(rollout.stable), "-")
    if rollout.canary:
        table.add_row("", "canary", *_cells(rollout.canary), "-")
    if rollout.shadow and rollout.comparison:
        table.add_row("", "shadow", *_cells(rollout.shadow), _compared(rollout.comparison))


def _cells(traffic: ModelTraffic) -> tuple[str, str, str, str, str]:
    mean = "-" if traffic.mean_latency_ms is None else f"{traffic.mean_latency_ms:.1f} ms"
    name = f"{traffic.model.name} {traffic.model.version}"
    return name, f"{traffic.share:.3g}", f"{traffic.requests:,}", f"{traffic.errors:,}", mean


def _compared(comparison: ShadowComparison) -> str:
    parts = [f"{comparison.faces:,} faces"]
    if comparison.differing_labels is not None:
        parts.append(f"{comparison.differing_labels:.1%} other labels")
    if comparison.years_apart is not None:
        parts.append(f"{comparison.years_apart:.1f} years apart")
    if comparison.dropped_requests:
        parts.append(f"{comparison.dropped_requests:,} requests dropped")
    return ", ".join(parts)
