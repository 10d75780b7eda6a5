"""The command `mien`: the server's side."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from mien.errors import DetectorError, MienError, ModelError, SettingsError
from mien.version import __version__
from mien_models.detectors import DETECTORS
from mien_orchestrator.commands import models
from mien_orchestrator.edge.tokens import make_token, token_line
from mien_orchestrator.settings import Settings
from mien_orchestrator.telemetry import logs

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Serve Mien's models."
)
app.add_typer(models.app, name="models")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"mien {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Serve Mien's models."""


@app.command()
def serve(
    inline: Annotated[bool, typer.Option("--inline", help="One process with all models, without Ray.")] = False,
    config: Annotated[Path | None, typer.Option(help="Settings file or Ray Serve config (YAML).")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", show_default="50051")] = None,
    detector: Annotated[str | None, typer.Option(help=f"One of {', '.join(DETECTORS)}.")] = None,
) -> None:
    """Serve until Ctrl-C: a Ray Serve cluster, or one process with --inline. Prints the address when ready."""
    try:
        options = {"server.host": host, "server.port": port, "detector.name": detector}
        given = {name: value for name, value in options.items() if value is not None}
        settings = Settings.load(given, config=config)
        logs.configure(settings)
        if inline:
            from mien_orchestrator.single import serve as serve_single

            asyncio.run(serve_single(settings, _ready))
        else:
            _serve_cluster(settings)
    except (MienError, SettingsError, ModelError, DetectorError) as error:
        typer.echo(f"mien: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, SettingsError) else 1) from error


@app.command()
def token(
    name: Annotated[str, typer.Argument(help="Whose token it is, as the log tells.")] = "client",
) -> None:
    """Make a token: standard output gets its line for the token file, standard error the token, shown this once."""
    made = make_token()
    try:
        typer.echo(token_line(name, made))
    except SettingsError as error:
        typer.echo(f"mien: {error}", err=True)
        raise typer.Exit(2) from error
    typer.echo(f"token of {name}, which nobody can show again: {made}", err=True)


@app.command()
def health(
    server: Annotated[str, typer.Option(help="Address of the server.")] = "127.0.0.1:50051",
    service: Annotated[str, typer.Option(help="A task, or a gRPC service; without it, the server.")] = "",
    timeout: Annotated[float, typer.Option(help="Seconds to wait for an answer.")] = 3,
) -> None:
    """Ask a server whether it serves: ends with status 0 if it does, with 1 if not."""
    from mien_orchestrator.edge.health_probe import check

    try:
        check(server, service=service, timeout=timeout)
    except MienError as error:
        typer.echo(f"mien: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo("SERVING")


def _serve_cluster(settings: Settings) -> None:
    if settings.server.port == 0:
        raise SettingsError("the orchestrators of a cluster share a port, so it cannot be 0: set one with --port")
    try:
        from mien_orchestrator.cluster import local
    except ImportError as error:
        raise SettingsError(
            f"the cluster needs the package {error.name!r}: pip install 'mien[serve]', or serve with --inline"
        ) from error
    local.serve(settings, _ready)


def _ready(address: str) -> None:
    typer.echo(f"mien is ready at {address}")
