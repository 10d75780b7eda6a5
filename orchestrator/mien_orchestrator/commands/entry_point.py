"""The entry point of `mien`; reports the missing extra if only the SDK is installed."""

import sys


def main() -> None:
    """Run the command line; exit with status 2 if the packages that all commands need are missing."""
    try:
        from mien_orchestrator.commands.main import app
    except ImportError as error:
        print(
            f"mien: the package {error.name!r} is missing: pip install 'mien[serve]' for servers, or 'mien[local]' for "
            "`mien models`, `mien config` and `mien token`",
            file=sys.stderr,
        )
        sys.exit(2)
    app()
