"""The measured systems: name, start command and client."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

HERE = Path(__file__).parent
VENVS = HERE / ".venvs"


@dataclass(frozen=True, slots=True)
class System:
    """One way to serve the models."""

    name: str
    title: str
    kind: Literal["in-process", "ours", "peer"]
    protocol: str
    """A key of `clients.CLIENTS`."""
    words: tuple[str, ...] = ()
    """Program and arguments, with `{port}` and `{cores}`; empty for in-process systems."""

    @property
    def environment(self) -> Path:
        """The folder of a peer's virtual environment."""
        return VENVS / self.name

    @property
    def pins(self) -> Path:
        """The file of a peer's pinned requirements."""
        return HERE / "peers" / f"{self.name}.txt"

    def command(self, port: int) -> list[str]:
        """Return the command that starts the server, with programs from its own environment."""
        program, *arguments = (word.format(port=port, cores=os.cpu_count()) for word in self.words)
        folder = self.environment / "bin" if self.kind == "peer" else Path(sys.executable).parent
        return [str(folder / program), *arguments]


_UVICORN = "uvicorn peers.fast_api:app --host 127.0.0.1 --port {port} --workers {cores} --log-level warning"
_BENTO = "bentoml serve peers.bento:Faces --host 127.0.0.1 --port {port} --quiet"

SYSTEMS = (
    System("baseline", "baseline: a loop over the models", "in-process", "baseline"),
    System("embedded", "Mien, embedded", "in-process", "embedded"),
    System("single", "Mien, single", "ours", "grpc", ("mien", "serve", "--inline", "--port", "{port}")),
    System("cluster", "Mien, cluster", "ours", "grpc", ("mien", "serve", "--port", "{port}")),
    System("fast_api", "FastAPI + uvicorn", "peer", "http", tuple(_UVICORN.split())),
    System("lit_serve", "LitServe", "peer", "form", ("python", "-m", "peers.lit_serve", "{port}")),
    System("bento", "BentoML", "peer", "form", tuple(_BENTO.split())),
    System("triton", "Triton (PyTriton)", "peer", "triton", ("python", "-m", "peers.triton", "{port}")),
    System("plain_ray", "Ray Serve, plain", "peer", "http", ("python", "-m", "peers.plain_ray", "{port}")),
)
"""In the order of the tables."""
