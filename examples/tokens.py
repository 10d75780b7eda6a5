"""Call a server that requires a token: MIEN_TOKEN=mien_... python examples/tokens.py localhost:50051 photo.jpg

The server's side: `mien token phone >> tokens`, and the setting `auth.token_file: tokens`.
"""

import os
import sys

import mien


def main(server: str, photo: str) -> None:
    """Print the faces, or what to do about a missing, unknown or revoked token."""
    with mien.Client(server, token=os.environ.get("MIEN_TOKEN")) as client:
        try:
            print(client.analyze(photo))
        except mien.AuthenticationError as error:
            raise SystemExit(f"{error.reason}: {error.message}") from error


if __name__ == "__main__":
    main(*sys.argv[1:])
