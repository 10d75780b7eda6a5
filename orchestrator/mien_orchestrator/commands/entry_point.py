"""The entry point of `mien`: says what to install where the SDK alone is."""

import sys


def main() -> None:
    """Run the command line; ends with status 2 where the packages that serve are missing."""
    try:
        from mien_orchestrator.commands.main import app
    except ImportError as error:
        print(f"mien: serving needs the package {error.name!r}: pip install 'mien[serve]'", file=sys.stderr)
        sys.exit(2)
    app()
