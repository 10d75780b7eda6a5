"""The command `mien health`: query a server's health."""

from pathlib import Path
from typing import Annotated

import typer

from mien.transport.tls import Tls
from mien_orchestrator.commands.exit_codes import needs_extra, reported_errors
from mien_orchestrator.edge import health_probe
from mien_orchestrator.settings import Settings


def health(
    server: Annotated[
        str | None, typer.Option(help="host:port of the server.", show_default="the server of the settings")
    ] = None,
    service: Annotated[str, typer.Option(help="Task, or gRPC service.", show_default="the server")] = "",
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds to wait for a response.")] = 3,
    config: Annotated[Path | None, typer.Option(help="The server's settings file.", show_default="MIEN_CONFIG")] = None,
    tls: Annotated[bool, typer.Option("--tls", help="Use TLS for --server; implied by --ca.")] = False,
    ca: Annotated[Path | None, typer.Option(help="PEM file of the authority of --server.")] = None,
    cert: Annotated[Path | None, typer.Option(help="PEM file of a client certificate, for mutual TLS.")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file of the client certificate's private key.")] = None,
) -> None:
    """Check a server's health: exit status 0 if it serves, 1 otherwise.

    Without --server, address, port and TLS are those of the settings (environment, settings file), as for a health
    check in the server's own container.
    """
    with reported_errors(), needs_extra("serve", "a health check"):
        if server:
            chosen = Tls(ca=ca, certificate=cert, key=key) if tls or ca or cert else None
            status = health_probe.check(server, service=service, timeout=timeout, tls=chosen)
        else:
            client = Tls(certificate=cert, key=key) if cert or key else None
            settings = Settings.load(config=config)
            status = health_probe.check_own(settings, service=service, timeout=timeout, client=client)
    typer.echo(status)
    if status == health_probe.LISTENING:
        typer.echo("mien: the server requires a client certificate; query its health with --cert and --key", err=True)
