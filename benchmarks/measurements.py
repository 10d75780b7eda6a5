"""The result file of the serving benchmark, with its machine and inputs."""

import importlib.metadata
import os
import platform
import sys
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from pydantic import TypeAdapter

from answers import face_count
from load import Photograph
from session import Session

_PACKAGES = ("grpcio", "numpy", "onnxruntime", "opencv-python-headless", "ray")


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine of a measurement."""

    processor: str
    cores: int
    memory_gib: float
    system: str
    python: str
    packages: dict[str, str]
    load_average: float
    """One-minute average before the first run; should be near 0."""

    @classmethod
    def here(cls) -> "Machine":
        """Describe this machine."""
        return cls(
            processor=_processor(),
            cores=os.cpu_count() or 1,
            memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
            system=f"{platform.system()} {platform.release()}",
            python=platform.python_version(),
            packages={name: importlib.metadata.version(name) for name in _PACKAGES},
            load_average=round(os.getloadavg()[0], 2),
        )


@dataclass(frozen=True, slots=True)
class Picture:
    """A photograph used in the measurement."""

    name: str
    bytes: int
    faces: int
    """Number of faces detected."""

    @classmethod
    def of(cls, photograph: Photograph) -> "Picture":
        """Describe a photograph."""
        return cls(photograph.name, len(photograph.data), face_count(photograph.expected))


@dataclass(frozen=True, slots=True)
class Round:
    """One session of one system."""

    round: int
    system: str
    session: Session


@dataclass(slots=True)
class Results:
    """The whole result file."""

    command: str
    quick: bool
    detector: str
    seed: int
    machine: Machine
    photographs: list[Picture]
    groups: list[Picture]
    """Composed images that show the cost of more faces."""
    left_out: dict[str, str]
    """Systems that could not be measured here, with the reason."""
    rounds: list[Round]
    weights: dict[str, str] = field(default_factory=dict)
    """Digests of the models and the detector; empty in files written before they were recorded."""

    def write(self, path: Path) -> None:
        """Write the results as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_ADAPTER.dump_json(self, indent=1) + b"\n")

    @classmethod
    def read(cls, path: Path) -> "Results":
        """Read a result file; raises `pydantic.ValidationError` if it has another format."""
        return _ADAPTER.validate_json(path.read_bytes())

    def sessions(self, system: str) -> dict[int, Session]:
        """Return a system's sessions by round."""
        return {item.round: item.session for item in self.rounds if item.system == system}


_ADAPTER = TypeAdapter(Results)


def command() -> str:
    """Return the command line, with paths as given."""
    return " ".join(["python", *sys.argv])


def _processor() -> str:
    """Return the processor's name, from /proc/cpuinfo on Linux."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
