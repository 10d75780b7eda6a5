"""The option `--version` of the commands `client` and `mien`."""

from typing import Any

import typer

from mien.version import __version__


def version_option(command: str) -> Any:  # typer declares its options as Any
    """Return the option that prints a command's name and version, and exits."""

    def print_version(requested: bool) -> None:
        if requested:
            typer.echo(f"{command} {__version__}")
            raise typer.Exit

    return typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")
