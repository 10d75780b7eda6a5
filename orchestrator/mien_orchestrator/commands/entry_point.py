"""The entry point of `mien`; reports the missing extra if only the SDK is installed."""

import sys


def main() -> None:
    """Run the command line; exit with status 2 if serving's packages are missing."""
    try:
        from mien_orchestrator.commands.main import app
    except ImportError as error:
        print(f"mien: serving needs the package {error.name!r}: pip install 'mien[serve]'", file=sys.stderr)
        sys.exit(2)
    app()
