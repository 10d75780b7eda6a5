"""The command `mien`: run and administer servers."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from mien.cli.version import version_option
from mien.errors import SettingsError
from mien_models.detectors import DETECTORS
from mien_orchestrator.commands import config as config_commands
from mien_orchestrator.commands import models, rollout
from mien_orchestrator.commands.exit_codes import needs_extra, reported_errors
from mien_orchestrator.commands.health import health
from mien_orchestrator.edge.auth.tokens import make_token, token_line
from mien_orchestrator.pid_file import held
from mien_orchestrator.settings import Settings
from mien_orchestrator.telemetry import logs

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Serve Mien's models."
)
app.add_typer(models.app, name="models")
app.add_typer(config_commands.app, name="config")
app.add_typer(rollout.app, name="rollout")


@app.callback()
def _main(
    version: Annotated[bool, version_option("mien")] = False,
) -> None:
    """Serve Mien's models."""


@app.command()
def serve(
    inline: Annotated[bool, typer.Option("--inline", help="One process with all models, without Ray.")] = False,
    config: Annotated[Path | None, typer.Option(help="Settings file or Ray Serve config (YAML).")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", show_default="50051")] = None,
    http_port: Annotated[
        int | None, typer.Option(help="Port of HTTP.", show_default="8080 with --inline on a loopback address")
    ] = None,
    detector: Annotated[str | None, typer.Option(help=f"One of {', '.join(DETECTORS)}.")] = None,
) -> None:
    """Serve until Ctrl-C: a Ray Serve cluster, or one process with --inline. Prints the address when ready.

    SIGHUP reloads settings, models and tokens without losing a call.
    """
    options = {"server.host": host, "server.port": port, "http.port": http_port, "detector.name": detector}
    given = {name: value for name, value in options.items() if value is not None}

    def load() -> Settings:
        return Settings.load(given, config=config)

    with reported_errors():
        settings = load()
        logs.configure(settings)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the start reads the settings as they are now
        with held(settings.server.pid_file):
            if inline:
                with needs_extra("serve", "serving"):
                    from mien_orchestrator.single import serve as serve_single

                asyncio.run(serve_single(settings, _ready, load))
            else:
                _serve_cluster(settings, load)


@app.command()
def token(
    name: Annotated[str, typer.Argument(help="Name of the caller, for the log.")] = "client",
) -> None:
    """Create an access token: prints its line of the token file, and on standard error the token, this once."""
    made = make_token()
    with reported_errors():
        typer.echo(token_line(name, made))
    typer.echo(f"token of {name}, which cannot be shown again: {made}", err=True)


app.command()(health)


def _serve_cluster(settings: Settings, load: Callable[[], Settings]) -> None:
    if settings.server.port == 0:
        raise SettingsError("the orchestrators of a cluster share a port, so it cannot be 0: set one with --port")
    if settings.http_port() == 0:
        raise SettingsError(
            "the orchestrators of a cluster share http.port, so it cannot be 0: set one with --http-port"
        )
    with needs_extra("serve", "a cluster"):
        from mien_orchestrator.cluster import local

        local.serve(settings, _ready, load)


def _ready(address: str, http_address: str) -> None:
    typer.echo(f"mien is ready at {address}")
    if http_address:
        typer.echo(f"mien is ready at {http_address}/")
