"""What the command tells its caller: exit codes, and errors on standard error."""

import typer

from mien.errors import EmbeddedUnavailableError, InvalidRequestError, MienError, ServerUnavailableError

FAILED, USAGE, UNREACHABLE = 1, 2, 3


def leave(error: MienError) -> typer.Exit:
    """Say an error on standard error, and return what ends the command with its exit code."""
    typer.echo(f"client: {error}", err=True)
    if isinstance(error, ServerUnavailableError):
        return typer.Exit(UNREACHABLE)
    return typer.Exit(USAGE if isinstance(error, InvalidRequestError | EmbeddedUnavailableError) else FAILED)
