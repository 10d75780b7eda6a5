"""Exit codes and error messages of `mien`."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from mien.errors import MienError, SettingsError

FAILED, USAGE, INTERRUPTED = 1, 2, 130


@contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Raise `SettingsError` with the extra to install if a package that the block imports is missing."""
    try:
        yield
    except ImportError as error:
        raise SettingsError(
            f"{what} needs the package {error.name!r}: pip install 'mien[{extra}]'", reason="PACKAGE_MISSING"
        ) from error


@contextmanager
def reported_errors() -> Iterator[None]:
    """Print an error of the block as one line on standard error, and exit with its code."""
    try:
        yield
    except MienError as error:
        typer.echo(f"mien: {error}", err=True)
        raise typer.Exit(USAGE if isinstance(error, SettingsError) else FAILED) from error
