"""Measure the systems: times side by side in rounds, answers to all pictures one system after the other."""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

from alternatives.catalog import Installed
from alternatives.driving import Answer, Driver, parse
from alternatives.results import Run, Timing

_FEWEST, _MOST = 1, 8
_ENOUGH_SECONDS = 6.0
"""Time after which a photograph is not repeated any more."""


def run_once(
    index: int, installed: Installed, groups: Sequence[tuple[int, Path]], log: Path
) -> tuple[Run, dict[str, str]]:
    """Start a system, measure it on photographs of that many people; return the run and the versions."""
    with Driver(installed, log, pinned=True) as driver:
        driver.ask(groups[0][1])  # also the warm-up
        first = driver.seconds
        timings = [_repeat(driver, people, path) for people, path in groups]
        return Run(index, installed.system.name, first, driver.memory_mib, timings), driver.versions


def answers(installed: Installed, pictures: Sequence[Path], folder: Path, log: Path) -> list[Answer]:
    """Return the answers for all pictures.

    Answers are kept by the picture's digest, so an interrupted run can be resumed. They are measured again if the
    driver or the pinned packages change; Mien's always are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{installed.system.name}-{_version(installed)}.txt"
    if installed.system.kind == "mien":
        kept.unlink(missing_ok=True)
    known = _read(kept)
    digests = [hashlib.sha256(picture.read_bytes()).hexdigest() for picture in pictures]
    missing = {digest: picture for digest, picture in zip(digests, pictures, strict=True) if digest not in known}
    if missing:
        with Driver(installed, log) as driver, kept.open("a", encoding="utf-8") as lines:
            for digest, picture in missing.items():
                known[digest] = driver.line(picture)
                print(digest, known[digest], file=lines, flush=True)
    return [parse(known[digest]) for digest in digests]


def _read(kept: Path) -> dict[str, str]:
    """Return kept answers by the picture's digest."""
    lines = kept.read_text(encoding="utf-8").splitlines() if kept.is_file() else []
    return dict(line.split(" ", 1) for line in lines if line.endswith("}"))  # the last one may be cut off


def _repeat(driver: Driver, people: int, photograph: Path) -> Timing:
    measured: list[Answer] = []
    until = time.monotonic() + _ENOUGH_SECONDS
    while len(measured) < _FEWEST or (len(measured) < _MOST and time.monotonic() < until):
        measured.append(driver.ask(photograph))
    return Timing(
        people,
        len(measured[-1].faces),
        [round(answer.milliseconds, 1) for answer in measured],
        [round(answer.cpu_ms, 1) for answer in measured],
    )


def _version(installed: Installed) -> str:
    """Return a digest of what the answers depend on besides the pictures."""
    files = [installed.system.script, *([installed.pins] if installed.pins.is_file() else [])]
    content = b"".join(path.read_bytes() for path in files) + " ".join(installed.system.arguments).encode()
    return hashlib.sha256(content).hexdigest()[:16]
