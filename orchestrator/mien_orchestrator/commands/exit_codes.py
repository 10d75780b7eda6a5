"""Exit codes and error messages of `mien`."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from mien.errors import MienError, SettingsError

FAILED, USAGE, INTERRUPTED = 1, 2, 130


@contextmanager
def reported_errors() -> Iterator[None]:
    """Print an error of the block as one line on standard error, and exit with its code."""
    try:
        yield
    except MienError as error:
        typer.echo(f"mien: {error}", err=True)
        raise typer.Exit(USAGE if isinstance(error, SettingsError) else FAILED) from error
