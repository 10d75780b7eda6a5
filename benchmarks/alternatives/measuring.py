"""Measure the systems: times side by side in rounds, answers to all pictures one system after the other."""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

from alternatives.catalog import Installed
from alternatives.driving import Answer, Driver, parse
from alternatives.results import Run, Timing

_FEWEST, _MOST = 2, 8
_ENOUGH_SECONDS = 6.0
"""Time after which a photograph is not repeated any more, from the second repetition on."""


def run_once(
    index: int, installed: Installed, groups: Sequence[tuple[int, Path]], log: Path
) -> tuple[Run, dict[str, str]]:
    """Start a system, measure it on photographs of that many people; return the run and the versions."""
    with Driver(installed, log, pinned=True) as driver:
        driver.ask(groups[0][1])
        first = driver.seconds
        timings = [_repeat(driver, people, path) for people, path in groups]
        return Run(index, installed.system.name, first, driver.memory_mib, timings), driver.versions


def answers(installed: Installed, pictures: Sequence[Path], folder: Path, log: Path) -> list[Answer]:
    """Return the answers for all pictures.

    Those of an earlier or interrupted run with the same driver, pins and pictures are kept, except Mien's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{installed.system.name}-{_digest(installed, pictures)}.jsonl"
    if installed.system.kind == "mien":
        kept.unlink(missing_ok=True)
    done = kept.read_text(encoding="utf-8").splitlines() if kept.is_file() else []
    if len(done) < len(pictures):
        with Driver(installed, log) as driver, kept.open("a", encoding="utf-8") as lines:
            for picture in pictures[len(done) :]:
                print(driver.line(picture), file=lines, flush=True)
    return [parse(line) for line in kept.read_text(encoding="utf-8").splitlines()]


def _repeat(driver: Driver, people: int, photograph: Path) -> Timing:
    driver.ask(photograph)  # warm-up
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


def _digest(installed: Installed, pictures: Sequence[Path]) -> str:
    """Return a digest of what the answers depend on."""
    digest = hashlib.sha256(installed.system.script.read_bytes())
    if installed.pins.is_file():
        digest.update(installed.pins.read_bytes())
    for picture in pictures:
        digest.update(picture.read_bytes())
    return digest.hexdigest()[:16]
