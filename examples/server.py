"""Start a server, call it, and stop it, as a program's tests do: python examples/server.py photo.jpg"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mien

MIEN = Path(sys.executable).with_name("mien")


@contextmanager
def running_server(*options: str) -> Iterator[str]:
    """Run `mien serve` in single mode on a free port; yield its address once it is ready."""
    command = [str(MIEN), "serve", "--inline", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            line = server.stdout.readline() if server.stdout else ""
            if not line.startswith("mien is ready at "):
                raise SystemExit("the server did not start; its standard error states why")
            yield line.removeprefix("mien is ready at ").strip()
        finally:
            server.send_signal(signal.SIGTERM)  # serves the calls in flight, then ends


def main(photo: str) -> None:
    """Print the server's models and the faces of a photograph."""
    with running_server() as address, mien.Client(address) as client:
        info = client.server_info()
        for task, model in info.models.items():
            print(f"{task}: {model.name} {model.version}")
        print(client.analyze(photo))


if __name__ == "__main__":
    main(*sys.argv[1:])
