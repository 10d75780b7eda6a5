"""Options of every command that asks a server."""

from pathlib import Path
from typing import Annotated

import typer

from mien.client import Client
from mien.errors import InvalidRequestError
from mien.transport.tls import Tls

Server = Annotated[
    str | None,
    typer.Option(envvar="MIEN_SERVER", help="host:port, several with commas; without it, this process analyzes."),
]
Timeout = Annotated[float, typer.Option(min=0.001, help="Seconds that an answer may take.")]
UseTls = Annotated[bool, typer.Option("--tls", help="Speak TLS; the options of its files imply it.")]
Ca = Annotated[Path | None, typer.Option(help="PEM file of the authority that signed the server's certificate.")]
Cert = Annotated[Path | None, typer.Option(help="PEM file of your own certificate, for mutual TLS.")]
Key = Annotated[Path | None, typer.Option(help="PEM file of its key.")]
TokenFile = Annotated[Path | None, typer.Option(help="File that holds your token; without it MIEN_TOKEN counts.")]


def tls_of(tls: bool, ca: Path | None, cert: Path | None, key: Path | None) -> Tls | None:
    """Return what the options say of TLS."""
    return Tls(ca=ca, certificate=cert, key=key) if tls or ca or cert or key else None


def token_of(file: Path | None) -> str | None:
    """Return the file's token; raises `InvalidRequestError`."""
    if file is None:
        return None
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"token file {file}: {getattr(error, 'strerror', '') or 'not a text'}") from error
    if not token:
        raise InvalidRequestError(f"token file {file} is empty; put the token into it")
    return token


def connect(
    server: str | None,
    timeout: float,
    tls: bool,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    token_file: Path | None,
) -> Client:
    """Return the client of the options; raises `MienError`."""
    return Client(server, timeout=timeout, tls=tls_of(tls, ca, cert, key), token=token_of(token_file))
