"""Exit codes of the command, and the errors that end it.

0: all images were analyzed. 1: at least one image, task, annotated picture or output failed. 2: wrong usage.
3: no server answers. 130: interrupted by Ctrl-C.
"""

import os
import sys
import warnings
from typing import Any

import typer
from typer.core import TyperGroup

from mien.errors import EmbeddedUnavailableError, InvalidRequestError, MienError, ServerUnavailableError

FAILED, USAGE, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130


def leave(error: MienError) -> typer.Exit:
    """Print an error to standard error, and return the exception that ends the command with its exit code."""
    typer.echo(f"client: {error}", err=True)
    if isinstance(error, ServerUnavailableError):
        return typer.Exit(UNREACHABLE)
    return typer.Exit(USAGE if isinstance(error, InvalidRequestError | EmbeddedUnavailableError) else FAILED)


class CommandGroup(TyperGroup):
    """A command group that reports failures of standard output and of memory in one line, with an exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command, then flush standard output while its errors can still be reported."""
        warnings.filterwarnings(
            "ignore", module=r"PIL\."
        )  # warnings about damaged files; the command reports these itself
        for stream in (sys.stdout, sys.stderr):  # file names may contain bytes that are not UTF-8
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        try:
            try:
                return super().main(*args, **kwargs)
            finally:
                sys.stdout.flush()
        except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
            _discard_output()
            sys.exit(FAILED)
        except OSError as error:
            _discard_output()
            typer.echo(f"client: cannot write to standard output: {(error.strerror or str(error)).lower()}", err=True)
            sys.exit(FAILED)
        except MemoryError:
            typer.echo("client: out of memory; use fewer --jobs or smaller images", err=True)
            sys.exit(FAILED)


def _discard_output() -> None:
    """Point standard output to the null device, so that the interpreter's last flush does not fail again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
