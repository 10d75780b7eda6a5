"""The options that several commands share."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from mien.client import DEFAULT_TIMEOUT, Client
from mien.errors import InvalidRequestError
from mien.request import check_max_faces
from mien.transport.tls import Tls


def _checked_max_faces(value: int | None) -> int | None:
    try:
        check_max_faces(value)
    except InvalidRequestError as error:
        raise typer.BadParameter(error.message) from error
    return value


MaxFaces: TypeAlias = Annotated[
    int | None,
    typer.Option(callback=_checked_max_faces, help="Maximum number of faces, largest first. Default: the server's."),
]
"""The option --max-faces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """Address, timeouts and credentials of a connection."""

    server: Annotated[
        str | None,
        typer.Option(
            envvar="MIEN_SERVER", help="host:port; separate several by commas. Default: analyze in this process."
        ),
    ] = None
    timeout: Annotated[float, typer.Option(min=0.001, help="Timeout of a call, in seconds.")] = DEFAULT_TIMEOUT
    connect_timeout: Annotated[
        float,
        typer.Option(min=0, help="Retry the first connection for this many seconds, such as while the server starts."),
    ] = 0.0
    tls: Annotated[bool, typer.Option("--tls", help="Use TLS; implied by --ca, --cert and --key.")] = False
    ca: Annotated[Path | None, typer.Option(help="PEM file of the certificate authority of the server.")] = None
    cert: Annotated[Path | None, typer.Option(help="PEM file of the client certificate, for mutual TLS.")] = None
    key: Annotated[Path | None, typer.Option(help="PEM file of the client certificate's private key.")] = None
    token_file: Annotated[Path | None, typer.Option(help="File with the access token. Default: MIEN_TOKEN.")] = None

    def tls_options(self) -> Tls | None:
        """Return the TLS options, or None for a connection without TLS."""
        chosen = self.tls or self.ca or self.cert or self.key
        return Tls(ca=self.ca, certificate=self.cert, key=self.key) if chosen else None

    def token(self) -> str | None:
        """Return the token of the token file; raises `InvalidRequestError`."""
        file = self.token_file
        if file is None:
            return None
        try:
            token = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", "") or "it is not UTF-8 text"
            raise InvalidRequestError(f"token file {file}: {reason}") from error
        if not token:
            raise InvalidRequestError(f"token file {file} is empty; write the token into it")
        return token

    def client(self) -> Client:
        """Return a client; raises `MienError`."""
        return Client(
            self.server,
            timeout=self.timeout,
            tls=self.tls_options(),
            token=self.token(),
            connect_timeout=self.connect_timeout,
        )


def with_connection(command: Callable[..., None]) -> Callable[..., None]:
    """Add the connection options to a command, which receives them as the keyword argument `connection`."""
    options = inspect.signature(ConnectionOptions, eval_str=True).parameters
    own = inspect.signature(command, eval_str=True).parameters

    @wraps(command)
    def run(**values: Any) -> None:
        chosen = {name: values.pop(name) for name in options}
        command(**values, connection=ConnectionOptions(**chosen))

    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in {**own, **options}.items()
        if name != "connection"
    ]
    run.__dict__.pop("__wrapped__")
    run.__dict__["__signature__"] = inspect.Signature(parameters)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
