"""The result file of the comparison."""

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from alternatives.scoring import Detection, Figure, KnownPhotographs
from measurements import Machine


@dataclass(frozen=True, slots=True)
class Timing:
    """Repeated answers for one photograph; the process's first answer is not among them."""

    faces: int
    """People in the photograph."""
    found: int
    """Faces in the last answer."""
    milliseconds: list[float]
    cpu_ms: list[float]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one system in one round."""

    round: int
    system: str
    first_answer_s: float
    """From the start of the process to the first answer."""
    memory_mib: float
    """After all answers, shared pages counted once."""
    timings: list[Timing]


@dataclass(frozen=True, slots=True)
class Throughput:
    """A server with calls in flight."""

    system: str
    round: int
    in_flight: int
    requests: int
    requests_per_second: float
    cpu_ms_per_request: float


@dataclass(frozen=True, slots=True)
class Accuracy:
    """One system on the labelled faces and the known photographs."""

    detection: dict[str, Detection]
    """By data set."""
    figures: dict[str, Figure]
    photographs: KnownPhotographs
    uncertain: int = 0
    """Of FairFace's faces, those whose gender the system marks as uncertain."""


@dataclass(frozen=True, slots=True)
class Steadiness:
    """The predictions of one system over the frames of a clip of one face."""

    frames: int
    found: int
    """Frames in which a face was found."""
    gender_flips: float | None
    """Changes of the gender per 100 frames; None if the system does not estimate it."""
    emotion_flips: float | None
    age_std: float | None
    """Standard deviation of the age, in years."""


@dataclass(slots=True)
class Comparison:
    """The whole result file."""

    commands: list[str]
    """Of all parts, in their order."""
    seed: int
    machine: Machine
    weights: dict[str, str]
    """Digests of Mien's models and detector."""
    versions: dict[str, dict[str, str]]
    size_mib: dict[str, float]
    not_installed: dict[str, str] = field(default_factory=dict)
    """Systems that could not be installed or started, with the reason."""
    runs: list[Run] = field(default_factory=list)
    throughput: list[Throughput] = field(default_factory=list)
    accuracy: dict[str, Accuracy] = field(default_factory=dict)
    steadiness: dict[str, dict[str, Steadiness]] = field(default_factory=dict)
    """By system and clip."""

    def write(self, path: Path) -> None:
        """Write the comparison as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_ADAPTER.dump_json(self, indent=1) + b"\n")

    @classmethod
    def read(cls, path: Path) -> "Comparison":
        """Read a result file; raises `pydantic.ValidationError` if it has another format."""
        return _ADAPTER.validate_json(path.read_bytes())


_ADAPTER = TypeAdapter(Comparison)
