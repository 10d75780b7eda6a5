"""Run a driver: send it paths, read its answers in the common form."""

import json
import math
import os
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from alternatives.catalog import Installed
from mien_models.spec import EMOTIONS
from processes import memory_mib

_STOP_SECONDS = 30


class DriverError(Exception):
    """A driver that ended or wrote something else than an answer; the message names its log."""


@dataclass(frozen=True, slots=True)
class Face:
    """One face of an answer."""

    box: tuple[float, float, float, float]
    """x, y, width, height in pixels."""
    age: float | None
    """Years."""
    gender: str | None
    """`female` or `male`; None if the system does not estimate or does not decide it."""
    emotion: str | None
    """The most probable of the seven emotions; None if the system does not estimate it."""
    uncertain: bool
    """The system marks the gender as uncertain."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A system's answer for one photograph."""

    faces: tuple[Face, ...]
    milliseconds: float
    cpu_ms: float


def parse(line: str) -> Answer:
    """Parse a line of a driver; raises `ValueError` if it is not an answer in the common form."""
    content = json.loads(line)
    if not isinstance(content, dict) or not isinstance(content.get("faces"), list):
        raise ValueError(f"the answer has no list of faces: {line[:200]}")
    return Answer(
        tuple(_face(face) for face in content["faces"]),
        _number(content, "milliseconds"),
        _number(content, "cpu_ms"),
    )


class Driver:
    """A running driver, on one core if it is pinned; a context manager."""

    def __init__(self, installed: Installed, log: Path, *, pinned: bool = False) -> None:
        self._log = log
        self._started = time.perf_counter()
        with log.open("wb") as messages:
            self._process = subprocess.Popen(
                installed.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=messages,
                text=True,
                cwd=installed.environment,
                env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | installed.variables,
            )
        if pinned:
            os.sched_setaffinity(self._process.pid, {max(os.sched_getaffinity(0))})
        self.versions: dict[str, str] = self._first_line()

    def __enter__(self) -> "Driver":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin
        assert self._process.stdout
        with suppress(BrokenPipeError):  # a driver that has ended
            self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def seconds(self) -> float:
        """Seconds since the process was started."""
        return time.perf_counter() - self._started

    @property
    def memory_mib(self) -> float:
        """Memory of the driver's process tree in MiB, shared pages counted once."""
        return memory_mib(self._process.pid)

    def ask(self, photograph: Path) -> Answer:
        """Return the answer for a photograph; raises `DriverError`."""
        return parse(self.line(photograph))

    def line(self, photograph: Path) -> str:
        """Return the driver's line for a photograph; raises `DriverError`."""
        assert self._process.stdin
        try:
            self._process.stdin.write(f"{photograph}\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise DriverError(f"the driver ended before {photograph.name}; see {self._log}") from error
        return self._line(photograph.name)

    def _first_line(self) -> dict[str, str]:
        versions = json.loads(self._line("the start"))["versions"]
        return {str(name): str(version) for name, version in versions.items()}

    def _line(self, what: str) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise DriverError(f"the driver ended at {what}; see {self._log}")
        return line.rstrip("\n")


def _face(content: object) -> Face:
    if not isinstance(content, dict):
        raise ValueError(f"a face is not an object: {content!r}")
    box = content.get("box")
    if not isinstance(box, list) or len(box) != 4 or not all(_finite(value) for value in box):
        raise ValueError(f"a face's box is not four numbers: {box!r}")
    if content.get("gender") not in ("female", "male", None):
        raise ValueError(f"a face's gender is {content['gender']!r} instead of female, male or null")
    x, y, width, height = (float(value) for value in box)
    age = None if content.get("age") is None else _number(content, "age")
    uncertain = bool(content.get("uncertain", False))
    return Face((x, y, width, height), age, content.get("gender"), _emotion(content.get("emotions") or {}), uncertain)


def _emotion(scores: object) -> str | None:
    if not isinstance(scores, Mapping) or not set(scores) <= set(EMOTIONS):
        raise ValueError(f"emotions are {scores!r}; their names must be of {', '.join(EMOTIONS)}")
    return max(scores, key=lambda name: float(scores[name])) if scores else None


def _number(content: Mapping[str, object], name: str) -> float:
    value = content.get(name)
    if not _finite(value):
        raise ValueError(f"{name} is {value!r} instead of a number")
    return float(value)  # type: ignore[arg-type]


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
